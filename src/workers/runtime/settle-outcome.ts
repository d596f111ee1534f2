import { serializeError, type SerializedError } from '../../lib/errors/classify.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Platform } from '../../platform.ts';
import type { JobContract } from '../../queues/define-job.ts';
import { serializeJson } from '../../queues/enqueue/serialize-payload.ts';
import { validationError } from '../../lib/errors/app-error.ts';
import { adoptJob } from '../../queues/ledger/admit-job.ts';
import type { FailedAttempt } from '../../queues/ledger/job-record.ts';
import type { Ending, LedgerWriter } from '../../queues/ledger/ledger-writer.ts';
import type { ChildFailurePolicy, Outcome } from '../../queues/outcome.ts';
import type { Attempt, Disposition } from '../../queues/transport.ts';
import { backoffMs } from './backoff.ts';

export interface SettlingParts {
  readonly platform: Platform;
  readonly ledger: LedgerWriter;
  readonly worker: string;
  readonly log: Log;
}

export interface SettledAttempt {
  readonly attempt: Attempt;
  readonly startedAt: Date;
  readonly outcome: Outcome;
  readonly contract: JobContract | undefined;
  /** What the next attempts are traced to, for a job that was enqueued in no trace. */
  readonly traceparent?: string | undefined;
}

const clean = (text: unknown): string => String(text).replaceAll('\0', '\u2400').toWellFormed();

/** Postgres can't keep NUL or half of a surrogate pair, and an error's text may quote anything. */
const storable = (error: SerializedError): SerializedError => ({
  code: clean(error.code),
  message: clean(error.message).slice(0, 10_000),
  ...(error.stack === undefined ? {} : { stack: clean(error.stack).slice(0, 20_000) }),
});

const defaultPriority = 5;
const longestDelayMs = 366 * 86_400_000;

/** Handlers compute delays from what other servers say: none is before now, nor more than a year ahead. */
const dueAfter = (ms: number): Date => {
  if (Number.isNaN(ms)) throw validationError('the outcome', [{ path: 'delay', message: 'must be a number' }]);
  return new Date(Date.now() + Math.min(longestDelayMs, Math.max(0, ms)));
};

const failureOf = ({ attempt, startedAt }: SettledAttempt, error: SerializedError): FailedAttempt => ({
  attempt: attempt.delivery.envelope.attemptsMade + 1,
  startedAt: startedAt.toISOString(),
  durationMs: Date.now() - startedAt.getTime(),
  error,
});

const end = async (
  parts: SettlingParts,
  settled: SettledAttempt,
  ending: Omit<Ending, 'id' | 'returns' | 'startedAt' | 'worker'>,
): Promise<Disposition> => {
  const { delivery } = settled.attempt;
  const closed = await parts.ledger.finish({
    id: delivery.jobId,
    returns: delivery.envelope.returns,
    startedAt: settled.startedAt,
    worker: parts.worker,
    limited: delivery.envelope.limited,
    ...ending,
  });
  if (closed) parts.platform.jobMetrics.finished(delivery.queue, delivery.name, ending.state);
  else parts.log.info({ event: 'attempt.refused', jobId: delivery.jobId, job: delivery.name, state: ending.state });
  return 'remove';
};

const complete = (
  parts: SettlingParts,
  settled: SettledAttempt,
  result: unknown,
): Disposition | Promise<Disposition> => {
  const { delivery } = settled.attempt;
  const serialized = serializeJson(result ?? null);
  if ('faults' in serialized)
    return bury(parts, settled, validationError(`the result of ${delivery.name}`, serialized.faults));
  if (!delivery.envelope.tracked) {
    parts.platform.jobMetrics.finished(delivery.queue, delivery.name, 'completed');
    return 'remove';
  }
  return end(parts, settled, {
    state: 'completed',
    attemptsMade: delivery.envelope.attemptsMade + 1,
    resultJson: serialized.json,
  });
};

/** Makes the job a dead letter. */
const bury = async (parts: SettlingParts, settled: SettledAttempt, thrown: unknown): Promise<Disposition> => {
  const { delivery } = settled.attempt;
  const error = storable(serializeError(thrown));
  await adopt(parts, settled);
  parts.log.error({ event: 'job.dead', jobId: delivery.jobId, job: delivery.name, code: error.code, err: thrown });
  // A job that fails for its children was not tried.
  const attempted = delivery.envelope.childrenFailed === undefined;
  return end(parts, settled, {
    state: 'dead',
    attemptsMade: delivery.envelope.attemptsMade + (attempted ? 1 : 0),
    error,
    ...(attempted ? { failure: failureOf(settled, error) } : {}),
  });
};

const adopt = async (parts: SettlingParts, { attempt: { delivery }, contract }: SettledAttempt): Promise<void> => {
  if (!delivery.envelope.tracked)
    await adoptJob(parts.platform.postgres, delivery, contract?.priority ?? defaultPriority);
};

interface Again {
  readonly dueAt: Date;
  readonly attemptsMade: number;
  readonly failure?: FailedAttempt;
  readonly onChildFailure?: ChildFailurePolicy;
}

const runAgain = async (parts: SettlingParts, settled: SettledAttempt, again: Again): Promise<Disposition> => {
  const { jobId, envelope } = settled.attempt.delivery;
  await adopt(parts, settled);
  const back = await parts.ledger.takeBack({
    id: jobId,
    returns: envelope.returns,
    startedAt: settled.startedAt,
    worker: parts.worker,
    limited: envelope.limited,
    ...(settled.traceparent === undefined ? {} : { traceparent: settled.traceparent }),
    ...again,
  });
  // The word of it came too late for the attempt's signal.
  if (back === 'cancelled') return end(parts, settled, { state: 'cancelled', attemptsMade: again.attemptsMade });
  return 'remove';
};

const retry = async (
  parts: SettlingParts,
  settled: SettledAttempt,
  thrown: unknown,
  afterMs: number | undefined,
): Promise<Disposition> => {
  const { delivery } = settled.attempt;
  const attemptsMade = delivery.envelope.attemptsMade + 1;
  if (attemptsMade >= delivery.envelope.attemptsAllowed || !settled.contract) return bury(parts, settled, thrown);
  const error = storable(serializeError(thrown));
  const waitMs = afterMs ?? backoffMs(settled.contract.backoff, attemptsMade);
  parts.log.warn({
    event: 'attempt.failed',
    jobId: delivery.jobId,
    job: delivery.name,
    attempt: attemptsMade,
    retryInMs: waitMs,
    err: thrown,
  });
  return runAgain(parts, settled, {
    dueAt: dueAfter(waitMs),
    attemptsMade,
    failure: failureOf(settled, error),
  });
};

/**
 * Writes what came of an attempt to the ledger and answers what becomes of the item in its queue. A stale attempt, whose
 * lock somebody else may have, writes nothing.
 */
export const settleOutcome = async (parts: SettlingParts, settled: SettledAttempt): Promise<Disposition> => {
  const { attempt, outcome } = settled;
  const { jobId, envelope } = attempt.delivery;
  const asked = outcome.kind === 'interrupted' || attempt.holdsLock();
  // Most often it is known without a question, and a job would wait a turn for nothing.
  if (attempt.lock.lost || !(asked === true || (await asked))) {
    parts.ledger.unmark(jobId);
    parts.log.warn({ event: 'attempt.lock-lost', jobId, job: attempt.delivery.name });
    return 'abandon';
  }
  switch (outcome.kind) {
    case 'completed':
      return complete(parts, settled, outcome.result);
    case 'retryable':
      return retry(parts, settled, outcome.error, outcome.afterMs);
    case 'permanent':
      return bury(parts, settled, outcome.error);
    case 'rate-limited':
      return runAgain(parts, settled, {
        dueAt: dueAfter(outcome.afterMs),
        attemptsMade: envelope.attemptsMade,
      });
    case 'deferred':
      return runAgain(parts, settled, {
        dueAt: dueAfter(outcome.until.getTime() - Date.now()),
        attemptsMade: envelope.attemptsMade,
      });
    case 'await-children':
      return runAgain(parts, settled, {
        dueAt: new Date(),
        attemptsMade: envelope.attemptsMade,
        onChildFailure: outcome.onChildFailure,
      });
    case 'cancelled':
      await adopt(parts, settled);
      return end(parts, settled, { state: 'cancelled' });
    case 'interrupted':
      parts.ledger.keepProgress(jobId);
      return 'hand-back';
    default:
      return outcome satisfies never;
  }
};
