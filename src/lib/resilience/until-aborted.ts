import { AppError } from '../errors/app-error.ts';

/** What a caller gets that gave up. */
export const interrupted = (what: string, signal: AbortSignal): AppError<'INTERRUPTED'> =>
  new AppError('INTERRUPTED', `${what} was interrupted`, {}, { cause: signal.reason });

/**
 * Settles as `work` does, or as soon as the signal aborts; the work itself is left to hear of that.
 * @throws AppError INTERRUPTED when the signal aborts first.
 */
export const untilAborted = async <T>(work: Promise<T>, signal: AbortSignal | undefined, what: string): Promise<T> => {
  if (!signal) return work;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(interrupted(what, signal));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
};

/**
 * Resolves after `ms`.
 * @throws AppError INTERRUPTED as soon as the signal aborts.
 */
export const pause = async (ms: number, signal: AbortSignal | undefined, what: string): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const elapsed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await untilAborted(elapsed, signal, what);
  } finally {
    clearTimeout(timer);
  }
};
