import { AppError } from '../errors/app-error.ts';
import { Deadlines } from '../batching/deadlines.ts';
import { isConnectionError, redisCodeOf } from '../errors/classify.ts';
import type { Log } from '../log/create-log.ts';
import type { RedisClient } from '../redis/connect-redis.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';

const restMs = 1_000;

export interface GateCounts {
  /** Commands that failed, or were too late. */
  errors: number;
  timeouts: number;
  /** Not even tried, since one had failed a moment before. */
  skipped: number;
}

/** What a command of Redis answered; `ok: false`: nothing did. */
export type Asked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false };

const failed = { ok: false } as const;

/** A value of another kind has that key: no fault of the server. */
export const isForeignKind = (error: unknown): boolean => redisCodeOf(error) === 'WRONGTYPE';

/** The way to Redis for who can do without: it never throws, waits for a bounded time, and rests for a second after a failure. */
export class RedisGate {
  readonly counts: GateCounts = { errors: 0, timeouts: 0, skipped: 0 };
  readonly #connection: RedisConnection;
  readonly #timeoutMs: number;
  readonly #log: Log;
  readonly #deadlines = new Deadlines();
  #client: RedisClient | undefined;
  #restsUntil = 0;
  #isDown = false;

  constructor({
    connection,
    timeoutMs,
    log,
  }: {
    readonly connection: RedisConnection;
    readonly timeoutMs: number;
    readonly log: Log;
  }) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#log = log;
  }

  get isResting(): boolean {
    return performance.now() < this.#restsUntil;
  }

  /** `patient`: tried also while it rests, and waited for ten times as long. */
  async ask<T>(
    work: (client: RedisClient) => Promise<T>,
    { patient = false }: { readonly patient?: boolean } = {},
  ): Promise<Asked<T>> {
    if (!patient && this.isResting) {
      this.counts.skipped += 1;
      return failed;
    }
    try {
      const value = await this.#within(this.#timeoutMs * (patient ? 10 : 1), work);
      if (this.#isDown) this.#recovered();
      return { ok: true, value };
    } catch (error) {
      if (isForeignKind(error)) throw error;
      this.#failed(error);
      return failed;
    }
  }

  #within<T>(timeoutMs: number, work: (client: RedisClient) => Promise<T>): Promise<T> {
    const known = this.#client;
    const asked = known?.status === 'ready' ? work(known) : this.#connect().then(work);
    return this.#deadlines.within(asked, timeoutMs, 'Redis');
  }

  async #connect(): Promise<RedisClient> {
    this.#client = await this.#connection.client();
    return this.#client;
  }

  #failed(error: unknown): void {
    if (error instanceof AppError && error.code === 'TIMEOUT') this.counts.timeouts += 1;
    else this.counts.errors += 1;
    this.#restsUntil = performance.now() + restMs;
    if (this.#isDown) return;
    this.#isDown = true;
    const why = isConnectionError(error) ? 'unreachable' : 'failed';
    this.#log.warn({ event: 'cache.redis-lost', why, err: error });
  }

  #recovered(): void {
    this.#isDown = false;
    this.#restsUntil = 0;
    this.#log.info({ event: 'cache.redis-back' });
  }
}
