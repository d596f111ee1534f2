import {
  bulkhead,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  isTaskCancelledError,
  TaskCancelledError,
  timeout,
  TimeoutStrategy,
  type BulkheadPolicy,
  type TimeoutPolicy,
} from 'cockatiel';
import { AppError } from '../errors/app-error.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { retryAfterMsOf } from '../errors/retry-after.ts';
import { Breaker, NotSent, type BreakerOptions, type BreakerState } from './breaker.ts';
import type { RateLimiter } from './rate-limits.ts';
import { remoteError } from './remote-error.ts';
import { interrupted, untilAborted } from './until-aborted.ts';
import { withRetry, type RetryOptions } from './with-retry.ts';

export interface BulkheadOptions {
  /** Calls that run at once; 10 by default. */
  readonly max?: number;
  /** Calls that wait for one of them to end; 100 by default. Those beyond are refused. */
  readonly maxWaiting?: number;
}

export interface RemoteServiceOptions {
  /** In metrics, logs and errors; one service has it. */
  readonly name: string;
  /** How long an attempt may take from when it is sent; 30 s by default. */
  readonly timeoutMs?: number;
  readonly breaker?: BreakerOptions;
  readonly bulkhead?: BulkheadOptions;
}

export interface RemoteCallOptions<T> {
  readonly signal?: AbortSignal | undefined;
  /** Nothing is tried again without. Never give it to what runs in a job: jobs are tried again as a whole. */
  readonly retry?: RetryOptions | undefined;
  /** Whose share of the rate limit each attempt takes; the service's name by default. */
  readonly limitKey?: string | undefined;
  /** Answers instead when the call failed, unless the caller gave up. */
  readonly fallback?: ((error: AppError) => T | Promise<T>) | undefined;
}

/** What becomes of calls, for whoever counts. */
export interface RemoteServiceParts {
  readonly rateLimiter: RateLimiter | undefined;
  readonly onCall: (outcome: 'success' | ErrorCode) => void;
  readonly onRetry: () => void;
  readonly onFallback: () => void;
  readonly onBreaker: (state: BreakerState, error: unknown) => void;
}

export interface RemoteServiceStatus {
  readonly breaker: BreakerState;
  readonly running: number;
  readonly waiting: number;
}

type Send<T> = (signal: AbortSignal) => Promise<T>;

interface Attempt {
  readonly signal: AbortSignal | undefined;
  readonly limitKey: string;
}

/**
 * The way to one remote service. Every call goes through a bulkhead, a circuit breaker, the pause the service last asked
 * for, the rate limit that all processes share, and a time-out, in this order. Made by `RemoteServices.open`.
 */
export class RemoteService {
  readonly name: string;
  readonly #parts: RemoteServiceParts;
  readonly #timeoutMs: number;
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  readonly #bulkhead: BulkheadPolicy;
  readonly #breaker: Breaker;
  readonly #timeout: TimeoutPolicy;
  #pausedUntil = 0;

  constructor(options: RemoteServiceOptions, parts: RemoteServiceParts) {
    this.name = options.name;
    this.#parts = parts;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#maxRunning = options.bulkhead?.max ?? 10;
    this.#maxWaiting = options.bulkhead?.maxWaiting ?? 100;
    this.#bulkhead = bulkhead(this.#maxRunning, this.#maxWaiting);
    this.#breaker = new Breaker(options.breaker ?? {}, parts.onBreaker);
    this.#timeout = timeout(this.#timeoutMs, TimeoutStrategy.Aggressive);
  }

  get status(): RemoteServiceStatus {
    return {
      breaker: this.#breaker.state,
      running: this.#maxRunning - this.#bulkhead.executionSlots,
      waiting: this.#maxWaiting - this.#bulkhead.queueSlots,
    };
  }

  /**
   * Sends a request by `fn`, whose signal aborts at the time-out, with the caller's, and when the call has ended. `fn`
   * throws errors of the catalogue, RATE_LIMITED with `retryAfterMs` where the service asks for a pause: until it is over
   * nothing is sent. Failures that may pass count for the breaker, unless the caller gave up.
   * @throws AppError CIRCUIT_BREAKER_OPEN and RATE_LIMITED with `retryAfterMs`, TIMEOUT, INTERRUPTED, PERFORMANCE_ERROR
   * when too many calls wait, and what `fn` throws; a lost connection is EXTERNAL_SERVICE_ERROR.
   */
  async call<T>(fn: Send<T>, options: RemoteCallOptions<T> = {}): Promise<T> {
    const { signal, fallback } = options;
    try {
      const answer = await untilAborted(this.#repeat(fn, options), signal, this.#what);
      this.#parts.onCall('success');
      return answer;
    } catch (thrown) {
      const error = this.#errorOf(thrown, signal);
      this.#parts.onCall(error.code);
      if (!fallback || error.code === 'INTERRUPTED') throw error;
      this.#parts.onFallback();
      return await fallback(error);
    }
  }

  get #what(): string {
    return `the call of ${this.name}`;
  }

  #repeat<T>(fn: Send<T>, { signal, retry, limitKey = this.name }: RemoteCallOptions<T>): Promise<T> {
    const attempt = (): Promise<T> => this.#attempt(fn, { signal, limitKey });
    return retry ? withRetry(attempt, { ...retry, signal, onRetry: this.#parts.onRetry }) : attempt();
  }

  async #attempt<T>(fn: Send<T>, attempt: Attempt): Promise<T> {
    const { signal } = attempt;
    try {
      // Who would be refused in the end need not wait for it.
      if (this.#breaker.remainingMs > 0) throw this.#circuitOpen();
      this.#refuseWhilePaused();
      return await this.#bulkhead.execute(() => this.#breaker.execute(() => this.#send(fn, attempt), signal), signal);
    } catch (error) {
      throw this.#errorOf(error, signal);
    }
  }

  /** Throws errors of the catalogue, for the breaker to judge, or {@link NotSent}. */
  async #send<T>(fn: Send<T>, { signal, limitKey }: Attempt): Promise<T> {
    try {
      this.#refuseWhilePaused();
      await this.#parts.rateLimiter?.take(limitKey);
    } catch (error) {
      throw new NotSent('kept back', { cause: error });
    }
    if (signal?.aborted) throw interrupted(this.#what, signal);
    try {
      return await this.#timeout.execute(async ({ signal: own }) => {
        try {
          return await fn(own);
        } catch (error) {
          // Whatever a client makes of the abort.
          throw own.aborted ? new TaskCancelledError() : error;
        }
      }, signal);
    } catch (thrown) {
      const error = this.#errorOf(thrown, signal);
      if (error.code === 'RATE_LIMITED')
        this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + (retryAfterMsOf(error) ?? 0));
      throw error;
    }
  }

  #refuseWhilePaused(): void {
    const retryAfterMs = this.#pausedUntil - Date.now();
    if (retryAfterMs > 0) throw new AppError('RATE_LIMITED', `${this.name} asked for a pause`, { retryAfterMs });
  }

  #circuitOpen(cause?: unknown): AppError {
    const retryAfterMs = this.#breaker.remainingMs;
    return new AppError(
      'CIRCUIT_BREAKER_OPEN',
      `${this.name} failed too often, and is left alone for ${retryAfterMs} ms`,
      { service: this.name, retryAfterMs },
      { cause },
    );
  }

  #errorOf(thrown: unknown, signal: AbortSignal | undefined): AppError {
    if (signal?.aborted) return interrupted(this.#what, signal);
    if (thrown instanceof NotSent) return remoteError(this.name, thrown.cause);
    if (isBrokenCircuitError(thrown)) return this.#circuitOpen(thrown);
    if (isTaskCancelledError(thrown)) {
      const message = `${this.name} did not answer in time`;
      return new AppError('TIMEOUT', message, { timeoutMs: this.#timeoutMs }, { cause: thrown });
    }
    if (isBulkheadRejectedError(thrown)) {
      const limit = this.#maxWaiting;
      const details = { metric: `calls that wait for ${this.name}`, value: limit, limit };
      return new AppError('PERFORMANCE_ERROR', `too many calls wait for ${this.name}`, details, { cause: thrown });
    }
    return remoteError(this.name, thrown);
  }
}
