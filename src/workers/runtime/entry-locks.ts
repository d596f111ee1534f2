import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { WatchedLoop } from '../../lib/health/loop-watch.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { BullWorker } from '../../queues/bullmq/bull-connection.ts';
import { LockLoss } from '../../queues/transport.ts';

/** A lock on an entry of the queue, and with it on the attempts at the jobs in it. */
export interface EntryLock {
  readonly id: string;
  readonly token: string;
  readonly attempts: LockLoss[];
  lost: boolean;
  renewedAt: number;
}

export interface EntryLocksParts {
  readonly worker: BullWorker;
  readonly queue: string;
  readonly lockMs: number;
  readonly loop: WatchedLoop;
  readonly log: Log;
}

/**
 * The locks of one worker on entries of its queue. Renews them itself, because BullMQ's own renewal can keep a lock of an
 * attempt that has ended and lose that of a new one; a lock found lost aborts its attempts.
 */
export class EntryLocks {
  readonly #parts: EntryLocksParts;
  readonly #held = new Map<string, EntryLock>();
  readonly #renewing: NodeJS.Timeout;

  constructor(parts: EntryLocksParts) {
    this.#parts = parts;
    this.#renewing = setInterval(() => void this.#renew(), parts.lockMs / 4);
  }

  /** How many there are. */
  get size(): number {
    return this.#held.size;
  }

  hold(id: string, token: string): EntryLock {
    const lock: EntryLock = { id, token, attempts: [], lost: false, renewedAt: performance.now() };
    this.#held.set(token, lock);
    return lock;
  }

  release({ token }: EntryLock): void {
    this.#held.delete(token);
  }

  /** One more attempt that ends with the lock. */
  attempt(lock: EntryLock): LockLoss {
    const loss = new LockLoss();
    if (lock.lost) loss.lose();
    lock.attempts.push(loss);
    return loss;
  }

  /** Asks only when the last renewal is so long ago that the lock may have run out, as after a blocked event loop. */
  holds(lock: EntryLock): boolean | Promise<boolean> {
    if (lock.lost) return false;
    if (performance.now() - lock.renewedAt < this.#parts.lockMs * 0.75) return true;
    return this.#renew().then(() => !lock.lost);
  }

  close(): void {
    clearInterval(this.#renewing);
    this.#parts.loop.end();
  }

  async #renew(): Promise<void> {
    const { worker, queue, lockMs, loop, log } = this.#parts;
    const locks = [...this.#held.values()];
    loop.beat();
    if (locks.length === 0) return;
    const askedAt = performance.now();
    const ids = locks.map(({ id }) => id);
    const tokens = locks.map(({ token }) => token);
    try {
      const lost = new Set(await withTimeout(worker.extendJobLocks(ids, tokens, lockMs), lockMs / 4, queue));
      for (const lock of locks) {
        if (!lost.has(lock.id)) {
          lock.renewedAt = askedAt;
          continue;
        }
        lock.lost = true;
        for (const attempt of lock.attempts) attempt.lose();
      }
    } catch (error) {
      // While the queue's server is away nobody else can take the jobs either.
      log.warn({ event: 'consumer.renewal-failed', queue, err: error });
    }
  }
}
