import { AppError } from '../errors/app-error.ts';
import { codeOf, isConnectionError, toAppError } from '../errors/classify.ts';

/** Codes of undici, which is what `fetch` runs on. */
const isLostConnection = (error: unknown): boolean =>
  isConnectionError(error) || codeOf(error)?.startsWith('UND_ERR_') === true;

/** Puts what a client of a remote service threw into the catalogue; what it put there itself stays. */
export const remoteError = (service: string, error: unknown): AppError => {
  if (error instanceof AppError) return error;
  // `fetch` says only in the cause of its error what went wrong.
  if (isLostConnection(error) || (error instanceof Error && isLostConnection(error.cause))) {
    return new AppError(
      'EXTERNAL_SERVICE_ERROR',
      `the connection to ${service} was lost, or could not be made`,
      { service },
      { cause: error, retryable: true },
    );
  }
  return toAppError(error);
};
