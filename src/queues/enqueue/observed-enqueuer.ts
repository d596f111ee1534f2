import { SpanKind, type Attributes } from '@opentelemetry/api';
import { isTracing, withSpan } from '../../lib/telemetry/tracing.ts';
import type { FlowNode } from '../flows/prepare-flow.ts';
import type { JobMetrics } from '../job-metrics.ts';
import type { AcceptedJob, Enqueuer } from '../ports.ts';

const attributesOf = (jobs: readonly AcceptedJob[]): Attributes => {
  const [first] = jobs;
  if (!first) return {};
  return {
    'messaging.destination.name': first.queue,
    ...(jobs.length === 1 ? { 'messaging.message.id': first.id } : { 'messaging.batch.message_count': jobs.length }),
  };
};

/** Counts what `enqueuer` accepts and, where traces are collected, makes each call a span that its jobs are traced to. */
export const observeEnqueuer = (enqueuer: Enqueuer, metrics: JobMetrics): Enqueuer => {
  const observe = async <T extends AcceptedJob | readonly AcceptedJob[]>(
    name: string,
    enqueue: () => Promise<T>,
  ): Promise<T> => {
    const accepted = isTracing() ? await traced(name, enqueue) : await enqueue();
    for (const { queue, name: job } of listOf(accepted)) metrics.enqueued(queue, job);
    return accepted;
  };
  return {
    enqueue: (contract, payload, options) => observe(contract.name, () => enqueuer.enqueue(contract, payload, options)),
    enqueueMany: (contract, payloads, options) =>
      observe(contract.name, () => enqueuer.enqueueMany(contract, payloads, options)),
    enqueueByName: (request, context) => observe(request.name, () => enqueuer.enqueueByName(request, context)),
    enqueueFlow: async (root, context) => {
      const accepted = await observe(root.contract.name, () => enqueuer.enqueueFlow(root, context));
      for (const child of root.children) countFlow(child, metrics);
      return accepted;
    },
    enqueueBatch: (requests, context) => observe('batch', () => enqueuer.enqueueBatch(requests, context)),
  };
};

const countFlow = ({ contract, children }: FlowNode, metrics: JobMetrics): void => {
  metrics.enqueued(contract.queue, contract.name);
  for (const child of children) countFlow(child, metrics);
};

const listOf = (accepted: AcceptedJob | readonly AcceptedJob[]): readonly AcceptedJob[] =>
  'id' in accepted ? [accepted] : accepted;

const traced = <T extends AcceptedJob | readonly AcceptedJob[]>(name: string, enqueue: () => Promise<T>): Promise<T> =>
  withSpan(
    `enqueue ${name}`,
    {
      kind: SpanKind.PRODUCER,
      attributes: {
        'messaging.system': 'treadle',
        'messaging.operation.name': 'enqueue',
        'messaging.operation.type': 'send',
      },
    },
    async (span) => {
      const accepted = await enqueue();
      span.setAttributes(attributesOf(listOf(accepted)));
      return accepted;
    },
  );
