import { ExponentialBackoff, halfJitterGenerator } from 'cockatiel';
import { toAppError } from '../errors/classify.ts';
import { retryAfterMsOf } from '../errors/retry-after.ts';
import { interrupted, pause } from './until-aborted.ts';

export interface RetryOptions {
  /** How often it is tried in all; 3 by default. */
  readonly attempts?: number;
  /** The longest wait before the second attempt, doubled before each one after; 1 s by default. */
  readonly initialDelayMs?: number;
  /** 30 s by default. Who asks for a longer pause is not asked again. */
  readonly maxDelayMs?: number;
}

export interface RetryHooks {
  readonly signal?: AbortSignal | undefined;
  /** Called before each wait, with why and how long. */
  readonly onRetry?: (error: unknown, delayMs: number) => void;
}

const what = 'trying again';

/** An interruption is somebody's wish. */
const mayPass = (error: unknown): boolean => {
  const { code, retryable } = toAppError(error);
  return retryable && code !== 'INTERRUPTED';
};

/**
 * Tries again what failed with an error that may pass, as the catalogue or the error itself says; a fault of the request
 * (400 to 499) and an unknown error are thrown at once. Waits are drawn from the upper half of an exponential backoff, and
 * are never shorter than the `retryAfterMs` of an error. Not for what runs in a job: jobs are tried again as a whole.
 * @throws what the last attempt threw; AppError INTERRUPTED when the signal aborts a wait.
 */
export const withRetry = async <T>(
  fn: (attempt: number) => Promise<T>,
  options: RetryOptions & RetryHooks = {},
): Promise<T> => {
  const { attempts = 3, initialDelayMs = 1_000, maxDelayMs = 30_000, signal, onRetry } = options;
  if (signal?.aborted) throw interrupted(what, signal);
  let backoff = new ExponentialBackoff({
    generator: halfJitterGenerator,
    initialDelay: initialDelayMs,
    maxDelay: maxDelayMs,
  }).next();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fn(attempt);
    } catch (error) {
      const askedMs = retryAfterMsOf(error) ?? 0;
      if (attempt >= attempts || signal?.aborted || askedMs > maxDelayMs || !mayPass(error)) throw error;
      const delayMs = Math.max(backoff.duration, askedMs);
      onRetry?.(error, delayMs);
      await pause(delayMs, signal, what);
      backoff = backoff.next(undefined);
    }
  }
};
