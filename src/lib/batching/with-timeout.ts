import { AppError } from '../errors/app-error.ts';

/** Waits for `work` at most `timeoutMs`, then throws TIMEOUT; the work itself goes on unobserved. */
export const withTimeout = <T>(work: Promise<T>, timeoutMs: number, what: string): Promise<T> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new AppError('TIMEOUT', `${what} did not answer within ${timeoutMs} ms`, { timeoutMs })),
      timeoutMs,
    );
    work.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
