import { withTimeout } from '../batching/with-timeout.ts';
import { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import {
  openLimitStore,
  openMemoryStore,
  type LimitStore,
  type LimitStoreParts,
  type Rate,
  type TakeCall,
} from './limit-store.ts';

export interface RateLimiter {
  /**
   * Takes one of the calls that `key` may still make.
   * @throws AppError RATE_LIMITED with `retryAfterMs`, when it has none left.
   */
  take(key: string): Promise<void>;
}

/** No call waits longer for the store, nor for its connection. */
const patienceMs = 1_000;

/**
 * Limits that all processes share. Calls are counted in Redis, or in Postgres where there is none; while that does not
 * answer each process counts its own, and no call fails for it. The store is opened with the first call.
 */
export class RateLimits {
  readonly #parts: LimitStoreParts;
  #store: Promise<LimitStore> | undefined;

  constructor(parts: LimitStoreParts) {
    this.#parts = parts;
  }

  /** Limiters of the same name, in whichever process, count together. */
  limiter(name: string, rate: Rate): RateLimiter {
    return new SharedRateLimiter({ name, rate, store: () => this.#opened(), log: this.#parts.log });
  }

  async close(): Promise<void> {
    const store = await this.#store?.catch(() => undefined);
    store?.close();
  }

  #opened(): Promise<LimitStore> {
    this.#store ??= openLimitStore(this.#parts, patienceMs / 2).catch((error: unknown) => {
      this.#store = undefined;
      throw error;
    });
    return this.#store;
  }
}

interface SharedRateLimiterParts {
  readonly name: string;
  readonly rate: Rate;
  readonly store: () => Promise<LimitStore>;
  readonly log: Log;
}

class SharedRateLimiter implements RateLimiter {
  readonly #parts: SharedRateLimiterParts;
  #shared: TakeCall | undefined;
  #alone: TakeCall | undefined;
  #storeAway = false;

  constructor(parts: SharedRateLimiterParts) {
    this.#parts = parts;
  }

  async take(key: string): Promise<void> {
    const { name, rate } = this.#parts;
    const waitMs = await this.#waitMs(key);
    if (waitMs === 0) return;
    throw new AppError('RATE_LIMITED', `${name} may be called ${rate.max} times in ${rate.perSeconds} s`, {
      retryAfterMs: waitMs,
    });
  }

  async #waitMs(key: string): Promise<number> {
    try {
      const waitMs = await withTimeout(this.#takeShared(key), patienceMs, 'the store of rate limits');
      this.#storeAway = false;
      return waitMs;
    } catch (error) {
      const { name, log } = this.#parts;
      if (!this.#storeAway) log.warn({ event: 'rate-limits.store-away', limit: name, err: error });
      this.#storeAway = true;
      return this.#takeAlone(key);
    }
  }

  async #takeShared(key: string): Promise<number> {
    const { name, rate, store } = this.#parts;
    this.#shared ??= (await store()).limit(name, rate);
    return this.#shared(key);
  }

  async #takeAlone(key: string): Promise<number> {
    const { name, rate } = this.#parts;
    const store = await openMemoryStore();
    this.#alone ??= store.limit(name, rate);
    return this.#alone(key);
  }
}
