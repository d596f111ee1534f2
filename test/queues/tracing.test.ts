import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-node';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createServer, type Server } from '../../src/api/server.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useTreadle } from './use-treadle.ts';

const queue = defineQueue({ name: 'traced' });
const payload = z.object({ n: z.number() });
const parent = defineJob({ name: 'traced.parent', queue: 'traced', payload });
const child = defineJob({ name: 'traced.child', queue: 'traced', payload });
const paced = defineJob({
  name: 'traced.paced',
  queue: 'traced',
  payload: payload.extend({ text: z.string().default('') }),
  deduplicateBy: ['n'],
});
const direct = defineJob({ name: 'traced.direct', queue: 'traced', payload, durability: 'queue' });
const flaky = defineJob({
  name: 'traced.flaky',
  queue: 'traced',
  payload,
  attempts: 2,
  backoff: { type: 'fixed', delayMs: 1 },
});

const exporter = new InMemorySpanExporter();
beforeAll(() => new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register());
afterAll(() => {
  trace.disable();
  context.disable();
  propagation.disable();
});
beforeEach(() => exporter.reset());

const spansNamed = (name: string): readonly ReadableSpan[] =>
  exporter.getFinishedSpans().filter((span) => span.name === name);
/** Waits for the spans of this name: the last ends after its job is seen to be done. */
const spans = async (name: string, count = 1): Promise<readonly ReadableSpan[]> => {
  await expect.poll(() => spansNamed(name).length, { timeout: 10_000 }).toBe(count);
  return spansNamed(name);
};
const one = async (name: string): Promise<ReadableSpan> => {
  const [span] = await spans(name);
  if (!span) throw new Error(`there is no span ${name}`);
  return span;
};
const traceOf = (span: ReadableSpan): string => span.spanContext().traceId;
const idOf = (span: ReadableSpan): string => span.spanContext().spanId;

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [parent, child, paced, direct, flaky],
    queues: [queue],
    handlers: [
      handle(parent, async ({ platform, payload: { n } }) => {
        await platform.enqueuer.enqueue(child, { n });
        return completed({});
      }),
      handle(child, async () => completed({})),
      handle(paced, async () => completed({})),
      handle(direct, async () => completed({})),
      handle(flaky, async ({ job }) => {
        if (job.attempt === 1) throw new Error('at first');
        return completed({});
      }),
    ],
  });
  let server: Server;
  beforeAll(async () => {
    server = await createServer(treadle.platform);
  });
  afterAll(() => server.close());

  test('a trace goes from the enqueue through the ledger to the attempt, its end, and the jobs it enqueues', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(parent, { n: 1 });
    const grandchild = await one('settle traced.child');
    const enqueued = await one('enqueue traced.parent');
    const attempt = await one('process traced.parent');
    const settled = await one('settle traced.parent');
    const next = await one('enqueue traced.child');
    expect(enqueued).toMatchObject({
      kind: SpanKind.PRODUCER,
      attributes: {
        'messaging.system': 'treadle',
        'messaging.operation.type': 'send',
        'messaging.destination.name': 'traced',
        'messaging.message.id': id,
      },
    });
    expect(attempt).toMatchObject({
      kind: SpanKind.CONSUMER,
      status: { code: SpanStatusCode.OK },
      attributes: { 'messaging.message.id': id, 'treadle.attempt': 1, 'treadle.outcome': 'completed' },
    });
    expect(attempt.parentSpanContext?.spanId).toBe(idOf(enqueued));
    expect([settled.parentSpanContext?.spanId, next.parentSpanContext?.spanId]).toEqual([idOf(attempt), idOf(attempt)]);
    const traces = [enqueued, attempt, settled, next, await one('process traced.child'), grandchild].map(traceOf);
    expect(new Set(traces).size).toBe(1);
    const { rows } = await treadle.platform.postgres.query<{ traceparent: string }>(
      'SELECT traceparent FROM treadle.finished_jobs WHERE id = $1',
      [id],
    );
    expect(rows[0]?.traceparent).toBe(`00-${traceOf(enqueued)}-${idOf(enqueued)}-01`);
  });

  test('all attempts of a job are in one trace, also when it was enqueued in none, and say what failed', async () => {
    const { rows } = await treadle.platform.postgres.query<{ id: string }>(
      `SELECT treadle.enqueue('traced.flaky', '{"n": 2}') AS id`,
    );
    await treadle.platform.jobs.wait(rows[0]?.id ?? '', 10_000);
    const [first, second] = await spans('process traced.flaky', 2);
    if (!first || !second) throw new Error('there were two attempts');
    expect(first).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: 'at first' },
      attributes: { 'error.type': 'Error', 'treadle.outcome': 'retryable' },
      events: [{ name: 'exception' }],
    });
    expect(second.attributes['treadle.attempt']).toBe(2);
    expect(traceOf(second)).toBe(traceOf(first));
    expect(second.parentSpanContext?.spanId).toBe(idOf(first));
  });

  test('debounced and throttled jobs and those with large payloads are in the trace of their enqueue', async () => {
    const { enqueuer } = treadle.platform;
    await enqueuer.enqueue(paced, { n: 1 }, { debounceMs: 1 });
    await enqueuer.enqueue(paced, { n: 2 }, { throttleMs: 1 });
    await enqueuer.enqueue(paced, { n: 3, text: 'x'.repeat(70_000) });
    const attempts = await spans('process traced.paced', 3);
    const enqueued = await spans('enqueue traced.paced', 3);
    expect(new Set(attempts.map((span) => span.parentSpanContext?.spanId))).toEqual(new Set(enqueued.map(idOf)));
  });

  test('a job that goes around the ledger takes its trace along', async () => {
    await treadle.platform.enqueuer.enqueue(direct, { n: 3 });
    const attempt = await one('process traced.direct');
    expect(attempt.parentSpanContext?.spanId).toBe(idOf(await one('enqueue traced.direct')));
  });

  test('a request with a traceparent enqueues into its trace; one that is none starts another', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const post = (traceparent: string) =>
      server.app.inject({
        method: 'POST',
        url: '/v1/jobs',
        headers: { host: 'localhost', traceparent },
        payload: { name: 'traced.child', payload: { n: 4 } },
      });
    expect((await post(`00-${traceId}-b7ad6b7169203331-01`)).statusCode).toBe(202);
    expect((await post('00-nonsense')).statusCode).toBe(202);
    const [inTrace, alone] = await spans('process traced.child', 2);
    expect([inTrace, alone].filter((span) => span && traceOf(span) === traceId)).toHaveLength(1);
  });
};

describe('traces, with queues on Postgres', () => {
  suite();
});
describeWithRedis('traces, with queues on Redis', () => {
  suite(useRedis());
});
