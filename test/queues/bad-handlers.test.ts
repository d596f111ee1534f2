import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import type { JobRecord } from '../../src/queues/ledger/job-record.ts';
import { completed, deferred, OutcomeError, rateLimited, retryable, type Outcome } from '../../src/queues/outcome.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useTreadle } from './use-treadle.ts';

// A lock of a minute: a job that were given out again because its end could not be written would be too late.
const queue = defineQueue({ name: 'things', lockMs: 60_000 });
const backoff = { type: 'fixed', delayMs: 1 } as const;
const bad = defineJob({
  name: 'things.bad',
  queue: 'things',
  payload: z.object({ how: z.string() }),
  attempts: 2,
  backoff,
});
const strict = defineJob({
  name: 'things.strict',
  queue: 'things',
  attempts: 2,
  backoff,
  payload: z.object({
    n: z.number().refine((n) => {
      if (n < 0) throw new Error('the schema itself fails');
      return n < 10;
    }),
  }),
});
const large = defineJob({ name: 'things.large', queue: 'things', payload: z.object({ text: z.string() }) });
const rolledBack = defineJob({ name: 'things.rolled-back', queue: 'things', payload: z.object({}) });
const unknown = defineJob({ name: 'things.unknown', queue: 'things', payload: z.object({}), durability: 'queue' });

const cycle: Record<string, unknown> = {};
cycle['itself'] = cycle;

const throwAnything = (value: unknown): never => {
  throw value;
};

/** What a handler without types may answer. */
const untyped = (json: string): Outcome => JSON.parse(json);

/** What a handler may do wrong, and how the job ends. */
const faults: Readonly<Record<string, readonly [() => Outcome, Partial<JobRecord> | object]>> = {
  'answers NUL': [() => completed('a\0b'), { state: 'dead', attemptsMade: 1, error: { code: 'VALIDATION_ERROR' } }],
  'answers half of a surrogate pair': [
    () => completed({ a: ['\uD800'] }),
    { state: 'dead', error: { code: 'VALIDATION_ERROR' } },
  ],
  'answers a cycle': [() => completed(cycle), { state: 'dead', error: { code: 'VALIDATION_ERROR' } }],
  'answers a BigInt': [() => completed(1n), { state: 'dead', error: { code: 'VALIDATION_ERROR' } }],
  'answers a value whose toJSON hides NUL': [
    () => completed({ toJSON: () => '\0' }),
    { state: 'dead', attemptsMade: 1 },
  ],
  'answers a value whose toJSON throws': [
    () => completed({ toJSON: () => throwAnything(new Error('no JSON')) }),
    { state: 'dead', error: { message: 'no JSON' } },
  ],
  'answers undefined as its result': [() => completed(undefined), { state: 'completed', result: null }],
  'answers nothing': [() => untyped('null'), { state: 'dead', attemptsMade: 1, error: { code: 'VALIDATION_ERROR' } }],
  'answers an unknown outcome': [
    () => untyped('{ "kind": "fine" }'),
    { state: 'dead', error: { code: 'VALIDATION_ERROR' } },
  ],
  'throws a text': [() => throwAnything('oops'), { state: 'dead', attemptsMade: 2, error: { message: 'oops' } }],
  'throws undefined': [() => throwAnything(undefined), { state: 'dead', attemptsMade: 2, error: { code: 'UNKNOWN' } }],
  'throws NUL': [() => throwAnything(new Error('a\0b')), { state: 'dead', error: { message: 'a\u2400b' } }],
  'throws an error whose message is no text': [
    () => throwAnything(Object.assign(new Error('x'), { message: { a: 1 }, stack: 7 })),
    { state: 'dead', attemptsMade: 2, error: { message: '[object Object]' } },
  ],
  'throws an outcome': [() => throwAnything(new OutcomeError({ kind: 'cancelled' })), { state: 'cancelled' }],
  'asks for a delay that is no number': [
    () => rateLimited(Number.NaN),
    { state: 'dead', error: { code: 'VALIDATION_ERROR' } },
  ],
  'defers to no time': [() => deferred(new Date(Number.NaN)), { state: 'dead', error: { code: 'VALIDATION_ERROR' } }],
  'asks for a delay before now': [() => retryable(new Error('sooner'), -1e20), { state: 'dead', attemptsMade: 2 }],
};

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [bad, strict, large, rolledBack, unknown],
    queues: [queue],
    handlers: [
      handle(bad, async ({ payload: { how } }) => {
        if (how === 'endless delay') return rateLimited(Infinity);
        const fault = faults[how];
        if (!fault) throw new Error('there is no such fault');
        return fault[0]();
      }),
      handle(strict, async () => completed(null)),
      handle(large, async ({ payload: { text } }) => completed(text)),
      handle(rolledBack, async ({ platform, completeIn }) => {
        await platform.postgres
          .transaction(async (tx) => {
            await completeIn(tx, 'in a transaction');
            throw new Error('rolled back');
          })
          .catch(() => undefined);
        return completed('by hand');
      }),
    ],
  });
  const finished = async (id: string): Promise<JobRecord | undefined> => treadle.platform.jobs.wait(id, 10_000);

  test.for(Object.entries(faults))(
    'a handler that %s ends its own job only, and at once',
    async ([how, [, ending]]) => {
      const { id } = await treadle.platform.enqueuer.enqueue(bad, { how });
      expect(await finished(id)).toMatchObject(ending);
    },
  );

  test('a handler that asks for an endless delay is asked again within the year', async () => {
    const { enqueuer, jobs } = treadle.platform;
    const { id } = await enqueuer.enqueue(bad, { how: 'endless delay' });
    await expect.poll(async () => (await jobs.find(id))?.state, { timeout: 10_000 }).toBe('delayed');
    expect((await jobs.find(id))?.dueAt.getTime()).toBeLessThan(Date.now() + 367 * 86_400_000);
    await jobs.cancel(id);
  });

  test('a payload that no longer fits its contract is a dead letter, also where the schema itself fails', async () => {
    const enqueue = async (n: number): Promise<string> => {
      const [row] = await database.query<{ id: string }>(
        `SELECT treadle.enqueue('things.strict', jsonb_build_object('n', $1::int)) AS id`,
        [n],
      );
      return row?.id ?? '';
    };
    const unfit = { state: 'dead', attemptsMade: 1, error: { code: 'VALIDATION_ERROR' } };
    expect(await finished(await enqueue(11))).toMatchObject(unfit);
    expect(await finished(await enqueue(-1))).toMatchObject({
      state: 'dead',
      error: { message: 'the schema itself fails' },
    });
  });

  test('five megabytes go in and come out', async () => {
    const text = 'x'.repeat(5 * 1024 * 1024);
    const { id } = await treadle.platform.enqueuer.enqueue(large, { text });
    expect((await finished(id))?.result === text).toBe(true);
  });

  test('a handler whose transaction rolled back with the completion in it may complete by itself', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(rolledBack, {});
    expect(await finished(id)).toMatchObject({ state: 'completed', result: 'by hand' });
  });

  test('a job straight to the queue that this worker does not know is put off, not lost', async () => {
    const { enqueuer, jobs } = treadle.platform;
    const { id } = await enqueuer.enqueue(unknown, {});
    await expect
      .poll(async () => jobs.find(id), { timeout: 10_000 })
      .toMatchObject({ state: 'delayed', attemptsMade: 0 });
  });
};

describe('bad handlers, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('bad handlers, BullMQ on Redis', () => {
  suite(useRedis());
});
