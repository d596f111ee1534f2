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

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** The machine-readable code of a driver's or the network's error: an SQLSTATE, an errno name, or undefined. */
export const codeOf = (error: unknown): string | undefined =>
  isObject(error) && typeof error['code'] === 'string' ? error['code'] : undefined;

/**
 * True when the connection was lost or could not be made. node-postgres gives some of these no code: a socket that ends
 * during a query rejects with a plain Error, told apart by the driver's own fixed texts, kept in this one place.
 */
export const isConnectionError = (error: unknown): boolean => {
  const code = codeOf(error);
  if (code !== undefined) return connectionStates.has(code) || networkCodes.has(code);
  if (error instanceof AggregateError) return error.errors.some(isConnectionError);
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

const stringField = (error: unknown, field: string): string | undefined =>
  isObject(error) && typeof error[field] === 'string' ? error[field] : undefined;

/** Puts any thrown value into the catalogue. Driver messages that can quote values are not repeated. */
export const toAppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error;
  const code = codeOf(error);
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
