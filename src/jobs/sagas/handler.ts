import type { SagaAttempt, Verdict } from '../../domain/sagas/saga-run.ts';
import { notFound } from '../../lib/errors/app-error.ts';
import { isPermanent } from '../../lib/errors/classify.ts';
import { retryAfterMsOf } from '../../lib/errors/retry-after.ts';
import { handle } from '../../queues/handle.ts';
import { completed, deferred, OutcomeError, permanent, retryable } from '../../queues/outcome.ts';
import { runSaga } from './contract.ts';

/** Until a worker that knows the saga may have taken the job, or this one was restarted with it. */
const unknownSagaDelayMs = 15_000;

const failure = (error: unknown, afterMs: number | undefined, isForGood: boolean): Verdict => ({
  kind: 'failure',
  error,
  permanent: isForGood,
  ...(afterMs === undefined ? {} : { afterMs }),
});

/** Steps may throw the outcomes of a handler; those that are no failure cost the step no attempt either. */
const judge = (error: unknown): Verdict => {
  if (!(error instanceof OutcomeError)) return failure(error, retryAfterMsOf(error), isPermanent(error));
  const { outcome } = error;
  switch (outcome.kind) {
    case 'permanent':
      return failure(outcome.error, undefined, true);
    case 'retryable':
      return failure(outcome.error, outcome.afterMs, false);
    case 'completed':
    case 'rate-limited':
    case 'deferred':
    case 'await-children':
    case 'interrupted':
    case 'cancelled':
      return { kind: 'not-counted' };
    default:
      return outcome satisfies never;
  }
};

export const runSagaHandler = handle(runSaga, async ({ payload, platform, job, signal, log, progress }) => {
  const { sagaId, workspaceId } = payload;
  const saga = await platform.sagas.get(sagaId);
  // Whoever may enqueue jobs of one workspace runs no saga of another.
  if (saga.workspaceId !== (workspaceId ?? null)) throw notFound('saga', sagaId);
  const onDone: SagaAttempt['onDone'] = ({ position, name }, of) =>
    progress(position / of, `${name}: ${position} of ${of} steps done`);
  const end = await platform.sagas.run(sagaId, { jobId: job.id, platform, signal, log, judge, onDone });
  switch (end.kind) {
    case 'ended':
      return completed({ sagaId, state: end.state, result: end.result });
    case 'retry':
      return retryable(end.error, end.afterMs);
    case 'failed':
      return permanent(end.error);
    case 'taken-over':
      return { kind: 'interrupted' };
    case 'unknown':
      log.warn({ event: 'saga.unknown', sagaId, saga: saga.name });
      return deferred(new Date(Date.now() + unknownSagaDelayMs));
    default:
      return end satisfies never;
  }
});
