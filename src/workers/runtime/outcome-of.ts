import { AppError } from '../../lib/errors/app-error.ts';
import { isPermanent } from '../../lib/errors/classify.ts';
import { retryAfterMsOf } from '../../lib/errors/retry-after.ts';
import { OutcomeError, type Outcome } from '../../queues/outcome.ts';

/** How long a handler may go on after its signal before nobody waits for it any more. */
export const ignoredSignalMs = 2_000;

/** Why an attempt's signal was aborted. */
export type AbortCause = 'deadline' | 'cancelled' | 'shutdown' | 'lock-lost';

/** The reason that handlers see on their signal. */
export class AttemptAborted extends Error {
  override readonly name = 'AttemptAborted';
  readonly abortCause: AbortCause;
  constructor(abortCause: AbortCause, message: string) {
    super(message);
    this.abortCause = abortCause;
  }
}

/**
 * What an answered outcome comes to when the attempt was aborted meanwhile: a result counts all the same; of a cancelled
 * attempt nothing else does, and what failed after the abort failed because of it.
 */
export const outcomeAfterAbort = (outcome: Outcome, abortCause: AbortCause | undefined, timeoutMs: number): Outcome => {
  if (abortCause === undefined || outcome.kind === 'completed') return outcome;
  if (abortCause === 'cancelled') return { kind: 'cancelled' };
  return outcome.kind === 'retryable' ? outcomeOfError(outcome.error, abortCause, timeoutMs) : outcome;
};

/**
 * What an attempt that threw came to. An aborted attempt ended for the cause of the abort, whatever the handler made of
 * it; of the catalogue's errors those that no repetition can mend are permanent; an unknown error is retryable, one that
 * says how long to wait after that time.
 */
export const outcomeOfError = (error: unknown, abortCause: AbortCause | undefined, timeoutMs: number): Outcome => {
  if (error instanceof OutcomeError) return outcomeAfterAbort(error.outcome, abortCause, timeoutMs);
  switch (abortCause) {
    case 'cancelled':
      return { kind: 'cancelled' };
    case 'shutdown':
    case 'lock-lost':
      return { kind: 'interrupted' };
    case 'deadline':
      return {
        kind: 'retryable',
        error: new AppError('TIMEOUT', `the attempt ran longer than ${timeoutMs} ms`, { timeoutMs }, { cause: error }),
        afterMs: undefined,
      };
    case undefined:
      break;
    default:
      abortCause satisfies never;
  }
  if (isPermanent(error)) return { kind: 'permanent', error };
  return { kind: 'retryable', error, afterMs: retryAfterMsOf(error) };
};
