import { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import type { LockClaim, LockStore } from './lock-store.ts';

/** A lock that was handed out. It is renewed until it is released. */
export interface Lock {
  readonly resource: string;
  /** Of this holder, and known to nobody else. */
  readonly token: string;
  /** Greater than that of every holder before; see `LockService.checkFence`. */
  readonly fence: number;
  /** Aborted when the lock is lost, or can't be renewed before it runs out. */
  readonly signal: AbortSignal;
}

interface HeldLockParts {
  readonly store: LockStore;
  readonly claim: LockClaim;
  readonly fence: number;
  readonly ttlMs: number;
  /** When it was asked for, by `performance.now()`: on the server it runs out no earlier than `ttlMs` after that. */
  readonly askedAt: number;
  readonly log: Log;
}

export const lostLock = (resource: string): AppError<'DATA_CONSISTENCY_ERROR'> =>
  new AppError('DATA_CONSISTENCY_ERROR', `the lock of ${JSON.stringify(resource)} was lost`, {
    entity: 'lock',
    entityId: resource,
  });

/** Renewed each third of its time; after an error at once again, ten times a period. */
const renewals = 3;
const renewalsAfterError = 10;

/** Renews a lock until it is stopped, and says when it is lost. */
export class HeldLock implements Lock {
  readonly token: string;
  readonly resource: string;
  readonly fence: number;
  readonly #parts: HeldLockParts;
  readonly #lost = new AbortController();
  #renewal: NodeJS.Timeout | undefined;
  #end: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(parts: HeldLockParts) {
    this.#parts = parts;
    this.resource = parts.claim.resource;
    this.token = parts.claim.token;
    this.fence = parts.fence;
    this.#holdUntil(parts.askedAt + parts.ttlMs);
    this.#renewIn(parts.ttlMs / renewals);
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Renews it no more; it is not given back by that. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#renewal);
    clearTimeout(this.#end);
  }

  #holdUntil(time: number): void {
    clearTimeout(this.#end);
    this.#end = setTimeout(() => this.#lose('ran out'), Math.max(0, time - performance.now()));
    this.#end.unref();
  }

  #renewIn(ms: number): void {
    this.#renewal = setTimeout(() => void this.#renew(), ms);
    this.#renewal.unref();
  }

  async #renew(): Promise<void> {
    const { store, claim, ttlMs, log } = this.#parts;
    const askedAt = performance.now();
    try {
      const held = await store.renew(claim, ttlMs);
      if (this.#stopped) return;
      if (!held) return this.#lose('taken');
      this.#holdUntil(askedAt + ttlMs);
      this.#renewIn(ttlMs / renewals);
    } catch (error) {
      if (this.#stopped) return;
      log.warn({ event: 'lock.not-renewed', resource: claim.resource, err: error });
      this.#renewIn(ttlMs / renewalsAfterError);
    }
  }

  #lose(how: 'ran out' | 'taken'): void {
    const { claim, log } = this.#parts;
    if (this.#stopped) return;
    this.stop();
    log.warn({ event: 'lock.lost', resource: claim.resource, how });
    this.#lost.abort(lostLock(claim.resource));
  }
}
