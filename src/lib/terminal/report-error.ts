import type { AppError } from '../errors/app-error.ts';
import { toAppError } from '../errors/classify.ts';
import type { ErrorCode } from '../errors/catalogue.ts';

export interface ReportOptions {
  readonly json: boolean;
  /** LOG_LEVEL is debug or trace: show stacks and causes. */
  readonly debug: boolean;
}

/** What to do about an error, where its message does not say so itself. */
const advice: Partial<Record<ErrorCode, string>> = {
  CONFIGURATION_ERROR: '`treadle check` looks at the whole configuration.',
  DB_CONNECTION_ERROR: 'Start the server or correct its address; `treadle check` shows the configuration in use.',
  UNAUTHENTICATED: 'Make a key with: treadle keys create --name <name> --scope <scope>',
  RATE_LIMITED: 'Try again in a moment.',
  TIMEOUT: 'Try again; DATABASE_STATEMENT_TIMEOUT_MS gives statements more time.',
  INTERNAL_ERROR: 'LOG_LEVEL=debug shows where it comes from.',
};

const lines = (error: AppError): readonly string[] => {
  if (error.code !== 'VALIDATION_ERROR' || !('faults' in error.details) || error.details.faults === undefined) {
    return [`treadle: ${error.message}`];
  }
  const subject = error.message.split(': ', 1)[0] ?? 'the input';
  const faults = error.details.faults.map((fault) =>
    'path' in fault && fault.path ? `  ${fault.path}: ${fault.message}` : `  ${fault.message}`,
  );
  return [`treadle: ${subject} is refused:`, ...faults];
};

const stacks = (error: unknown): readonly string[] =>
  error instanceof Error ? [error.stack ?? error.message, ...stacks(error.cause)] : [];

/** Prints an error to standard error: message and what to do, or with `--json` an object as the HTTP API answers it. */
export const reportError = (thrown: unknown, { json, debug }: ReportOptions): void => {
  const error = toAppError(thrown);
  const { code, message, details } = error;
  if (json) {
    process.stderr.write(`${JSON.stringify({ error: { code, message, details } })}\n`);
  } else {
    const hint = advice[code];
    process.stderr.write(`${[...lines(error), ...(hint === undefined ? [] : [hint])].join('\n')}\n`);
  }
  if (debug) process.stderr.write(`${stacks(error).join('\ncaused by: ')}\n`);
};
