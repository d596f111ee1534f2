import { SpanKind, SpanStatusCode, type Span } from '@opentelemetry/api';
import { activeTraceparent, contextOf, recordError, withSpan } from '../../lib/telemetry/tracing.ts';
import type { Outcome } from '../../queues/outcome.ts';
import type { Delivery } from '../../queues/transport.ts';

/** The span of a running attempt. */
export interface AttemptSpan {
  /** Set where the job was enqueued in no trace: what its next attempts are traced to. */
  readonly traceparent: string | undefined;
  /** Notes what the handler came to. */
  ended(outcome: Outcome): void;
  /** Writing it to the ledger, as a span of its own. */
  settle<T>(work: () => Promise<T>): Promise<T>;
}

const noteOutcome = (span: Span, outcome: Outcome): void => {
  span.setAttribute('treadle.outcome', outcome.kind);
  if (outcome.kind === 'retryable' || outcome.kind === 'permanent') recordError(span, outcome.error);
  else if (outcome.kind === 'completed') span.setStatus({ code: SpanStatusCode.OK });
};

/** Runs an attempt as a span below the one that enqueued its job; what its handler enqueues is below it in turn. */
export const traceAttempt = <T>(
  { jobId, name, queue, envelope }: Delivery,
  worker: string,
  run: (span: AttemptSpan) => Promise<T>,
): Promise<T> => {
  const messaging = { 'messaging.system': 'treadle', 'messaging.destination.name': queue };
  return withSpan(
    `process ${name}`,
    {
      kind: SpanKind.CONSUMER,
      parent: contextOf(envelope.traceparent),
      attributes: {
        ...messaging,
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'messaging.message.id': jobId,
        'messaging.client.id': worker,
        'treadle.attempt': envelope.attemptsMade + 1,
        'treadle.tenant': envelope.tenant,
      },
    },
    (span) =>
      run({
        traceparent: envelope.traceparent === undefined ? activeTraceparent() : undefined,
        ended: (outcome) => noteOutcome(span, outcome),
        settle: (work) =>
          withSpan(
            `settle ${name}`,
            {
              kind: SpanKind.INTERNAL,
              attributes: {
                ...messaging,
                'messaging.operation.name': 'settle',
                'messaging.operation.type': 'settle',
                'messaging.message.id': jobId,
              },
            },
            work,
          ),
      }),
  );
};
