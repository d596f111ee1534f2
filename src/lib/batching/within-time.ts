import { withTimeout } from './with-timeout.ts';
import { AppError } from '../errors/app-error.ts';

/** How long work may go on after its signal before nobody waits for it any more. */
const ignoredSignalMs = 2_000;

/**
 * Runs `work` with a signal that is aborted with `signal`, and when `timeoutMs` are over.
 * @throws AppError TIMEOUT when it failed after that, or ignored the signal for two seconds more.
 */
export const withinTime = async <T>(
  { signal, timeoutMs, what }: { readonly signal: AbortSignal; readonly timeoutMs: number; readonly what: string },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(new Error(`${what} has run for ${timeoutMs} ms`)), timeoutMs);
  try {
    return await withTimeout(work(AbortSignal.any([signal, deadline.signal])), timeoutMs + ignoredSignalMs, what);
  } catch (cause) {
    if (!deadline.signal.aborted || signal.aborted) throw cause;
    throw new AppError('TIMEOUT', `${what} ran longer than ${timeoutMs} ms`, { timeoutMs }, { cause });
  } finally {
    clearTimeout(timer);
  }
};
