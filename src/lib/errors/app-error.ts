import { catalogue, type ErrorCode, type ErrorDetails } from './catalogue.ts';

export interface AppErrorOptions {
  readonly cause?: unknown;
  /** Overrides the catalogue, for a fault known to pass or to stay. */
  readonly retryable?: boolean;
}

/** An error of the catalogue. Its message and details never contain the values of a query or a secret. */
export class AppError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'AppError';
  readonly code: C;
  readonly status: number;
  readonly details: ErrorDetails<C>;
  readonly retryable: boolean;

  constructor(code: C, message: string, details: ErrorDetails<C>, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = catalogue[code].status;
    this.details = details;
    this.retryable = options.retryable ?? catalogue[code].retryable;
  }
}

/** One thing wrong with an input: where (`options.priority`, `jobs[3].payload.id`, empty for the whole) and what. */
export interface Fault {
  readonly path: string;
  readonly message: string;
  readonly index?: number;
}

/** Builds a VALIDATION_ERROR whose message lists every fault with its path. */
export const validationError = (subject: string, faults: readonly Fault[]): AppError<'VALIDATION_ERROR'> =>
  new AppError(
    'VALIDATION_ERROR',
    `${subject}: ${faults.map((fault) => (fault.path ? `${fault.path}: ${fault.message}` : fault.message)).join('; ')}`,
    { faults: faults.map((fault) => ({ ...fault })) },
  );

export const notFound = (entity: string, entityId: string): AppError<'NOT_FOUND'> =>
  new AppError('NOT_FOUND', `${entity} ${JSON.stringify(entityId)} does not exist`, { entity, entityId });
