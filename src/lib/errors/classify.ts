import { AppError } from './app-error.ts';

const connectionStates = new Set([
  '57P01',
  '57P02',
  '57P03',
  '53300',
  '08000',
  '08001',
  '08003',
  '08004',
  '08006',
  '08007',
  '25P03',
  // Read-only: the server became a standby, or is one.
  '25006',
]);
const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
]);
const consistencyStates = new Set(['23505', '23503', '23514', '23502', '23P01', '40001', '40P01']);

/** First words of what Redis answers while another server becomes the master, or this one is not ready. */
const movingReplies = new Set(['READONLY', 'LOADING', 'MASTERDOWN', 'UNBLOCKED']);
const clusterReplies = new Set(['MOVED', 'ASK', 'TRYAGAIN', 'CLUSTERDOWN', 'NOREPLICAS']);
/** What ioredis says of a connection that is gone; it gives these errors no code. */
const lostRedisTexts = new Set([
  'Connection is closed.',
  'Command aborted due to connection close',
  "Stream isn't writeable and enableOfflineQueue options is false",
  "Cluster isn't ready and enableOfflineQueue options is false",
  'None of startup nodes is available',
  'Cluster is ended.',
]);
const lostRedisNames = new Set(['MaxRetriesPerRequestError', 'ClusterAllFailedError']);

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** The machine-readable code of a driver's or the network's error: an SQLSTATE, an errno name, or undefined. */
export const codeOf = (error: unknown): string | undefined =>
  isObject(error) && typeof error['code'] === 'string' ? error['code'] : undefined;

/** The word that starts a reply of Redis and is its code: `WRONGPASS`, `MOVED`; undefined for other errors. */
export const redisCodeOf = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return undefined;
  // Before Redis 7 a script wrapped the reply in its own text.
  const inScript = /^ERR Error running script .* -?([A-Z]+) /s.exec(error.message)?.[1];
  return inScript ?? error.message.split(' ', 1)[0];
};

/** True when Redis refused because another server is the master now, or this one is not ready yet. */
export const isRedisMoving = (error: unknown): boolean => movingReplies.has(redisCodeOf(error) ?? '');

const isRedisConnectionError = (error: unknown): boolean => {
  const code = redisCodeOf(error);
  if (code !== undefined) return movingReplies.has(code) || clusterReplies.has(code);
  if (!(error instanceof Error)) return false;
  // This text goes on with what the last sentinel said.
  const noSentinel = error.message.startsWith('All sentinels are unreachable');
  return noSentinel || lostRedisNames.has(error.name) || lostRedisTexts.has(error.message);
};

/**
 * True when the connection was lost or could not be made. node-postgres gives some of these no code: a socket that ends
 * during a query rejects with a plain Error, told apart by the driver's own fixed texts, kept in this one place.
 */
export const isConnectionError = (error: unknown): boolean => {
  const code = codeOf(error);
  if (code !== undefined) return connectionStates.has(code) || networkCodes.has(code);
  if (error instanceof AggregateError) return error.errors.some(isConnectionError);
  if (isRedisConnectionError(error)) return true;
  return (
    error instanceof Error &&
    (error.message === 'Connection terminated unexpectedly' ||
      error.message === 'Connection terminated' ||
      error.message === 'Client has encountered a connection error and is not queryable' ||
      error.message === 'timeout exceeded when trying to connect' ||
      error.message === 'Connection terminated due to connection timeout')
  );
};

/** True for a serialization failure or a deadlock: the whole transaction may be run again. */
export const isConflictOfTransactions = (error: unknown): boolean => {
  const code = codeOf(error);
  return code === '40001' || code === '40P01';
};

const permanentCodes: ReadonlySet<string> = new Set([
  'VALIDATION_ERROR',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'PAYLOAD_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'CONFIGURATION_ERROR',
  'EXTERNAL_SERVICE_ERROR',
]);

/** True for an error of the catalogue that no repetition of the work can mend. An unknown error may pass. */
export const isPermanent = (error: unknown): boolean =>
  error instanceof AppError && !error.retryable && permanentCodes.has(error.code);

const stringField = (error: unknown, field: string): string | undefined =>
  isObject(error) && typeof error[field] === 'string' ? error[field] : undefined;

/** Puts any thrown value into the catalogue. Driver messages that can quote values are not repeated. */
export const toAppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error;
  const code = codeOf(error);
  if (isRedisConnectionError(error))
    return new AppError('SERVICE_UNAVAILABLE', 'Redis cannot be reached', { service: 'redis' }, { cause: error });
  if (isConnectionError(error)) {
    return new AppError(
      'DB_CONNECTION_ERROR',
      'a server that Treadle needs cannot be reached',
      code ? { sqlState: code } : {},
      { cause: error },
    );
  }
  if (code === '57014')
    return new AppError('TIMEOUT', 'the statement ran longer than its time-out', {}, { cause: error });
  if (code !== undefined && consistencyStates.has(code)) {
    const constraint = stringField(error, 'constraint');
    const text = constraint ? `the change breaks the rule ${constraint}` : 'the change conflicts with another one';
    return new AppError('DATA_CONSISTENCY_ERROR', text, {}, { cause: error, retryable: code.startsWith('40') });
  }
  if (code === '22P05' || code === '22021') {
    return new AppError(
      'VALIDATION_ERROR',
      'text contains a character that Postgres cannot store (NUL, or half of a surrogate pair)',
      { faults: [{ path: '', message: 'contains NUL or a lone surrogate' }] },
      { cause: error },
    );
  }
  if (code === '54000') {
    return new AppError(
      'VALIDATION_ERROR',
      'a text is longer than Postgres can keep in an index',
      { faults: [{ path: '', message: 'contains a text that is too long for a key' }] },
      { cause: error },
    );
  }
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return new AppError('TIMEOUT', 'the operation ran longer than its time-out', {}, { cause: error });
  }
  return new AppError('INTERNAL_ERROR', 'an unexpected error occurred', {}, { cause: error });
};

/** What is kept of an error in the ledger and shown to operators. */
export interface SerializedError {
  readonly code: string;
  readonly message: string;
  readonly stack?: string;
}

export const serializeError = (error: unknown): SerializedError => {
  if (error instanceof AppError) {
    return { code: error.code, message: error.message, ...(error.stack ? { stack: error.stack } : {}) };
  }
  if (error instanceof Error) {
    const code = codeOf(error) ?? error.name;
    return { code, message: error.message, ...(error.stack ? { stack: error.stack } : {}) };
  }
  return { code: 'UNKNOWN', message: typeof error === 'string' ? error : 'a value that is not an Error was thrown' };
};
