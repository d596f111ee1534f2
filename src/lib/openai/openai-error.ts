import type OpenAI from 'openai';
import { AppError } from '../errors/app-error.ts';
import { retryAfterMs } from './retry-after.ts';

type OpenAiModule = typeof OpenAI;

interface Place {
  readonly service: string;
  readonly endpoint: string;
}

const statusError = (
  status: number,
  headers: Headers | undefined,
  cause: unknown,
  { service, endpoint }: Place,
): AppError => {
  if (status === 429) {
    return new AppError(
      'RATE_LIMITED',
      `${service} asks for a pause`,
      { retryAfterMs: retryAfterMs(headers) },
      { cause },
    );
  }
  const passing = status >= 500 || status === 408 || status === 409;
  return new AppError(
    'EXTERNAL_SERVICE_ERROR',
    `${service} answered ${endpoint} with status ${status}`,
    { service, endpoint, status },
    { cause, retryable: passing },
  );
};

/**
 * Puts what the client throws into the catalogue: 429 is RATE_LIMITED with the pause asked for, server errors and cut
 * connections may pass, connections that take too long are TIMEOUT, other client errors stay. Never repeats what was sent.
 */
export const openAiError = (module: OpenAiModule, error: unknown, place: Place): AppError => {
  const { service, endpoint } = place;
  if (error instanceof module.APIConnectionTimeoutError) {
    return new AppError('TIMEOUT', `the connection to ${service} was not made in time`, {}, { cause: error });
  }
  if (error instanceof module.APIError && typeof error.status === 'number') {
    return statusError(error.status, error.headers, error, place);
  }
  // Cut connections, unreachable hosts, and answers that are not JSON.
  return new AppError(
    'EXTERNAL_SERVICE_ERROR',
    `the request to ${service} ended without an answer that can be read`,
    { service, endpoint },
    { cause: error, retryable: true },
  );
};
