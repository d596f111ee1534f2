import type { errors } from '@elastic/elasticsearch';
import { z } from 'zod';
import { AppError } from '../errors/app-error.ts';

type ErrorClasses = typeof errors;

export const serviceName = 'elasticsearch';
const defaultPauseMs = 1_000;

/** What is kept of an error of Elasticsearch: its own text and the client's error quote documents and queries. */
class ElasticsearchFault extends Error {
  override readonly name = 'ElasticsearchFault';

  constructor(status: number, type: string) {
    super(`${type} (status ${status})`);
  }
}

const unavailable = (message: string, cause: Error, retryable: boolean): AppError =>
  new AppError('SERVICE_UNAVAILABLE', message, { service: serviceName }, { cause, retryable });

/**
 * Puts an error that Elasticsearch answered with, for a request or for one of its items, into the catalogue.
 * `type` is its own name for it, such as `version_conflict_engine_exception`.
 */
export const answeredError = (status: number, type: string): AppError => {
  const cause = new ElasticsearchFault(status, type);
  // A full disk answers with the status of a busy server, but does not pass by waiting.
  if (type === 'cluster_block_exception') {
    return unavailable('Elasticsearch takes no writes: an index is blocked, as on a full disk', cause, false);
  }
  if (type === 'index_not_found_exception' || type === 'alias_not_found_exception') {
    return unavailable('an index of Elasticsearch does not exist: it was deleted, or never made', cause, false);
  }
  switch (status) {
    case 401:
    case 403:
      return new AppError(
        'CONFIGURATION_ERROR',
        'Elasticsearch refuses the credentials, or what they may do',
        { faults: [{ variable: 'ELASTICSEARCH_URL', message: `was answered with status ${status}` }] },
        { cause },
      );
    case 409:
      return new AppError('DATA_CONSISTENCY_ERROR', 'Elasticsearch holds a newer version', {}, { cause });
    case 413:
      return new AppError(
        'PAYLOAD_TOO_LARGE',
        'the request is larger than Elasticsearch takes (http.max_content_length)',
        { maxBytes: 100 * 1_048_576 },
        { cause },
      );
    case 429:
      return new AppError('RATE_LIMITED', 'Elasticsearch is busy', { retryAfterMs: defaultPauseMs }, { cause });
    default: {
      const message = `Elasticsearch answered with ${type} (status ${status})`;
      return new AppError(
        'EXTERNAL_SERVICE_ERROR',
        message,
        { service: serviceName, status },
        { cause, retryable: status >= 500 || status === 408 },
      );
    }
  }
};

const named = z.object({ type: z.string() });
const errorBody = z.object({ error: named.extend({ root_cause: z.array(named).optional() }) });

/** Of a search on several shards the cause says more than the error. */
const typeOf = (body: unknown): string => {
  const parsed = errorBody.safeParse(body);
  if (!parsed.success) return 'an error without a name';
  const { type, root_cause: causes } = parsed.data.error;
  return causes?.[0]?.type ?? type;
};

/**
 * Puts what the client throws into the catalogue. Statuses are told apart by {@link answeredError}; a lost connection is
 * EXTERNAL_SERVICE_ERROR and may pass, no answer in time is TIMEOUT, a server that is no Elasticsearch is
 * CONFIGURATION_ERROR. Nothing of what was sent or answered is repeated.
 */
export const elasticsearchError = (classes: ErrorClasses, error: unknown): AppError => {
  if (error instanceof AppError) return error;
  if (error instanceof classes.ResponseError) return answeredError(error.statusCode ?? 0, typeOf(error.body));
  if (error instanceof classes.TimeoutError) {
    return new AppError('TIMEOUT', 'Elasticsearch did not answer in time', {});
  }
  if (error instanceof classes.ProductNotSupportedError) {
    const message = 'the server is no Elasticsearch 8 or 9';
    return new AppError('CONFIGURATION_ERROR', message, { faults: [{ variable: 'ELASTICSEARCH_URL', message }] });
  }
  const name = error instanceof Error ? error.name : 'unknown';
  return new AppError(
    'EXTERNAL_SERVICE_ERROR',
    `the connection to Elasticsearch was lost, or could not be made (${name})`,
    { service: serviceName },
    { retryable: true },
  );
};
