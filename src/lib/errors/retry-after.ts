import { AppError } from './app-error.ts';

/** How long the error says to leave its service alone, in milliseconds; undefined when it does not say. */
export const retryAfterMsOf = (error: unknown): number | undefined =>
  error instanceof AppError && 'retryAfterMs' in error.details ? error.details.retryAfterMs : undefined;
