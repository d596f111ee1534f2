import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors/app-error.ts';
import type { Kv } from '../kv/kv.ts';
import type { Log } from '../log/create-log.ts';
import type { Queryable } from '../postgres/queryable.ts';
import { Fences, type Fenced } from './fences.ts';
import { HeldLock, lostLock, type Lock } from './held-lock.ts';
import { parseLockRequest, type LockOptions, type LockRequest } from './lock-options.ts';
import type { LockClaim, LockStore } from './lock-store.ts';
import { PostgresLockStore } from './postgres-lock-store.ts';
import { RedisLockStore } from './redis-lock-store.ts';

export interface LockServiceParts {
  readonly kv: Kv;
  readonly log: Log;
}

/** What {@link LockService.withLock} calls its work with. */
export type LockWork<T> = (lock: Lock) => Promise<T>;

const newToken = (): string => randomBytes(16).toString('base64url');

const storeOf = (kv: Kv): LockStore =>
  kv.backend === 'redis' ? new RedisLockStore(kv.redis, kv.postgres) : new PostgresLockStore(kv.postgres);

/**
 * Locks that all processes share, in Redis or in Postgres. A lock is renewed while it is held, and tells its holder when it is
 * lost; since a holder may stand still and not hear of it, its writes carry a fencing token.
 */
export class LockService {
  readonly #store: LockStore;
  readonly #fences: Fences;
  readonly #log: Log;
  readonly #held = new Map<string, HeldLock>();

  constructor({ kv, log }: LockServiceParts) {
    this.#store = storeOf(kv);
    this.#fences = new Fences(kv.postgres);
    this.#log = log;
  }

  /**
   * Takes the lock of a resource, and waits for it while somebody else has it. Null when it was not to be had in time.
   * @throws AppError VALIDATION_ERROR naming every fault; SERVICE_UNAVAILABLE or DB_CONNECTION_ERROR while the server of locks
   * is away; the reason of `signal` when that ended the wait.
   */
  async acquireLock(resource: string, options: LockOptions = {}): Promise<Lock | null> {
    const request = parseLockRequest(resource, options);
    const deadline = performance.now() + request.waitMs;
    let token = newToken();
    for (let claim = { resource, token }; ;) {
      options.signal?.throwIfAborted();
      const askedAt = performance.now();
      const fence = await this.#take(claim, request.ttlMs);
      if (fence !== undefined) {
        const parts = { store: this.#store, claim, fence, ttlMs: request.ttlMs, askedAt, log: this.#log };
        if (await this.#shutOutOthers(new HeldLock(parts), request, { deadline, signal: options.signal }))
          return this.#held.get(token) ?? null;
        token = newToken();
        claim = { resource, token };
      }
      if (!(await pause(request, deadline, options.signal))) return null;
    }
  }

  /**
   * Gives a lock back. False, and nothing happens, when its token does not hold it: it is somebody else's, or was lost.
   * @throws AppError SERVICE_UNAVAILABLE or DB_CONNECTION_ERROR while the server of locks is away: it then runs out by itself.
   */
  async releaseLock({ resource, token }: Pick<Lock, 'resource' | 'token'>): Promise<boolean> {
    parseLockRequest(resource, {});
    this.#held.get(token)?.stop();
    this.#held.delete(token);
    return this.#store.release({ resource, token });
  }

  /**
   * Runs `work` under the lock of a resource, and gives it back. Work should end when `lock.signal` is aborted; what it answers
   * after the lock was lost does not count.
   * @throws AppError as {@link acquireLock} does; TIMEOUT when the lock was not to be had in time; DATA_CONSISTENCY_ERROR when
   * it was lost before the work ended; what `work` throws.
   */
  async withLock<T>(resource: string, work: LockWork<T>, options: LockOptions = {}): Promise<T> {
    const lock = await this.acquireLock(resource, options);
    if (!lock) {
      const { waitMs } = parseLockRequest(resource, options);
      throw new AppError('TIMEOUT', `the lock of ${JSON.stringify(resource)} was not free within ${waitMs} ms`, {
        timeoutMs: waitMs,
      });
    }
    let result: T;
    try {
      result = await work(lock);
    } catch (error) {
      await this.#giveBack(lock);
      throw error;
    }
    if (!(await this.#giveBack(lock)) || lock.signal.aborted) throw lostLock(resource);
    return result;
  }

  /**
   * For writes in Postgres under a lock, in their transaction and before them: lets it go on only while nobody was let in after
   * this holder. Until it has ended nobody is. Works wherever the lock lies.
   * @throws AppError DATA_CONSISTENCY_ERROR when somebody was let in: roll back.
   */
  checkFence(tx: Queryable, lock: Fenced): Promise<void> {
    return this.#fences.check(tx, lock);
  }

  /** Gives back what this process holds. */
  async close(): Promise<void> {
    const held = [...this.#held.values()];
    for (const lock of held) lock.stop();
    await Promise.all(held.map((lock) => this.#giveBack(lock)));
  }

  async #take(claim: LockClaim, ttlMs: number): Promise<number | undefined> {
    try {
      return await this.#store.take(claim, ttlMs);
    } catch (error) {
      // It may have been taken: then nobody would have it until it runs out.
      void this.#store.release(claim).catch(() => undefined);
      throw error;
    }
  }

  /** Raises the fence before the lock is handed out; not when that takes longer than the lock is waited for, or held. */
  async #shutOutOthers(
    lock: HeldLock,
    request: LockRequest,
    { deadline, signal }: { readonly deadline: number; readonly signal: AbortSignal | undefined },
  ): Promise<boolean> {
    this.#held.set(lock.token, lock);
    try {
      for (;;) {
        const raised = await this.#fences.raise(lock);
        if (raised === 'raised' && !lock.signal.aborted) return true;
        if (raised === 'stale' || lock.signal.aborted || !(await pause(request, deadline, signal))) break;
      }
    } catch (error) {
      await this.#giveBack(lock);
      throw error;
    }
    await this.#giveBack(lock);
    return false;
  }

  /** Whether it was held to the end, as far as is known: a server that is away is left to forget it. */
  async #giveBack(lock: Lock): Promise<boolean> {
    try {
      return await this.releaseLock(lock);
    } catch (error) {
      this.#log.warn({ event: 'lock.not-released', resource: lock.resource, err: error });
      return true;
    }
  }
}

/** Waits until the next look; false when there is no time for one. */
const pause = async (
  { retryDelayMs }: LockRequest,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<boolean> => {
  const leftMs = deadline - performance.now();
  if (leftMs <= 0) return false;
  await delay(Math.min(retryDelayMs, leftMs), undefined, signal ? { signal } : {}).catch(() =>
    signal?.throwIfAborted(),
  );
  return true;
};
