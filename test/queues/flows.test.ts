import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { AppError } from '../../src/lib/errors/app-error.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { flow, type FlowNode } from '../../src/queues/flows/prepare-flow.ts';
import { handle } from '../../src/queues/handle.ts';
import type { JobRecord } from '../../src/queues/ledger/job-record.ts';
import { awaitChildren, completed, permanent } from '../../src/queues/outcome.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useDatabase } from '../services/database.ts';
import { useTreadle } from './use-treadle.ts';

const parents = defineQueue({ name: 'parents', concurrency: 4, lockMs: 2_000 });
const children = defineQueue({ name: 'children', concurrency: 10, lockMs: 2_000 });
const backoff = { type: 'fixed', delayMs: 1 } as const;
const payload = z.object({
  children: z.number().int(),
  failing: z.array(z.number()).default([]),
  onChildFailure: z.enum(['fail', 'continue']).default('fail'),
  crashAfter: z.number().optional(),
});
const sum = defineJob({ name: 'flows.sum', queue: 'parents', payload, attempts: 2, backoff });
const square = defineJob({
  name: 'flows.square',
  queue: 'children',
  payload: z.object({ n: z.number(), fails: z.boolean().default(false), hangs: z.boolean().default(false) }),
  result: z.number(),
  deduplicateBy: ['fails'],
  attempts: 1,
});
const stages = defineJob({ name: 'flows.stages', queue: 'parents', payload: z.object({}), backoff });
const moody = defineJob({ name: 'flows.moody', queue: 'parents', payload: z.object({}), attempts: 2, backoff });
const total = defineJob({ name: 'flows.total', queue: 'parents', payload: z.object({}), backoff });

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const mended = new Set<number>();
  let crashes = 0;
  let squared = 0;
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [sum, square, stages, moody, total],
    queues: [parents, children],
    handlers: [
      handle(sum, async ({ payload: wanted, children: own }) => {
        if (own.awaited === 0) {
          const numbers = function* () {
            for (let n = 0; n < wanted.children; n += 1) {
              if (n === wanted.crashAfter && crashes++ === 0) throw new Error('the handler fails half way');
              yield { n, fails: wanted.failing.includes(n) };
            }
          };
          await own.spawn(square, numbers());
          return awaitChildren({ onChildFailure: wanted.onChildFailure });
        }
        let result = 0;
        for await (const child of own.ended()) result += child.state === 'completed' ? Number(child.result) : 0;
        const { completed: done, dead, total: all } = await own.counts();
        return completed({ result, done, dead, all });
      }),
      handle(square, async ({ payload: { n, fails, hangs }, signal }) => {
        squared += 1;
        if (fails && !mended.has(n)) return permanent(new Error(`${n} has no square`));
        if (hangs)
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
        return completed(n * n);
      }),
      handle(stages, async ({ children: own }) => {
        if (own.awaited < 3) {
          await own.spawn(square, [{ n: own.awaited + 1 }]);
          return awaitChildren();
        }
        const results: unknown[] = [];
        for await (const { result } of own.ended()) results.push(result);
        return completed(results);
      }),
      handle(moody, async ({ job, children: own }) => {
        if (own.awaited === 0) {
          await own.spawn(square, [{ n: 1 }]);
          return awaitChildren({ onChildFailure: 'fail' });
        }
        if (own.awaited === 1) {
          await own.spawn(square, [{ n: 2, fails: true }]);
          while ((await own.counts()).dead === 0) await new Promise((resolve) => setImmediate(resolve));
          if (job.attempt === 1) throw new Error('before it could wait');
          return awaitChildren({ onChildFailure: 'continue' });
        }
        const { completed: done, dead } = await own.counts();
        return completed({ completed: done, dead });
      }),
      handle(total, async ({ children: own }) => {
        let result = 0;
        for await (const child of own.ended()) result += Number(child.result);
        return completed(result);
      }),
    ],
  });

  const finished = async (id: string): Promise<JobRecord> => {
    const job = await treadle.platform.jobs.wait(id, 55_000);
    if (!job) throw new Error('the job vanished');
    return job;
  };
  const run = async (input: z.input<typeof payload>): Promise<JobRecord> =>
    finished((await treadle.platform.enqueuer.enqueue(sum, input)).id);

  test('a job waits for its children on another queue and reads their results', async () => {
    const job = await run({ children: 5 });
    expect(job).toMatchObject({ state: 'completed', attemptsMade: 1, result: { result: 30, done: 5, all: 5 } });
    const { items } = await treadle.platform.jobs.list({ parent: job.id }, { limit: 10 });
    expect(items.map(({ name, state }) => ({ name, state }))).toEqual(
      Array.from({ length: 5 }, () => ({ name: 'flows.square', state: 'completed' })),
    );
  });

  // Several batches on either backend; the full number on the one that has them done sooner.
  test.for([redis ? 10_000 : 2_600])('%i children are added in batches, and each runs once', async (count) => {
    const before = squared;
    const job = await run({ children: count });
    expect(job).toMatchObject({ state: 'completed', result: { done: count, all: count } });
    expect(squared - before).toBe(count);
    expect(job.children).toEqual({ total: count, open: 0, failed: 0 });
  });

  test('an attempt that fails while it adds children is followed by one that adds the rest', async () => {
    crashes = 0;
    const job = await run({ children: 2_500, crashAfter: 1_700 });
    expect(crashes).toBe(2);
    expect(job).toMatchObject({ state: 'completed', attemptsMade: 2, result: { done: 2_500, all: 2_500 } });
  });

  test('a job without children goes on at once', async () => {
    expect(await run({ children: 0 })).toMatchObject({ state: 'completed', result: { result: 0, all: 0 } });
  });

  test('the work may have several parts with children of their own', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(stages, {});
    expect(await finished(id)).toMatchObject({ state: 'completed', attemptsMade: 1, result: [1, 4, 9] });
  });

  test('a failure in a later part of the work does not fail the job for what an earlier part asked', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(moody, {});
    expect(await finished(id)).toMatchObject({
      state: 'completed',
      attemptsMade: 2,
      result: { completed: 1, dead: 1 },
    });
  });

  test('continue: the job runs when all have ended, and sees which failed', async () => {
    const job = await run({ children: 4, failing: [1, 2], onChildFailure: 'continue' });
    expect(job).toMatchObject({ state: 'completed', result: { result: 9, done: 2, dead: 2 } });
  });

  test('fail: one dead child makes the job a dead letter; redriven, both run again and the rest does not', async () => {
    const job = await run({ children: 3, failing: [2] });
    expect(job).toMatchObject({ state: 'dead', attemptsMade: 0, error: { code: 'CHILD_FAILED' } });
    const before = squared;
    mended.add(2);
    await treadle.platform.jobs.retry(job.id);
    expect(await finished(job.id)).toMatchObject({ state: 'completed', result: { result: 5, done: 3, all: 3 } });
    expect(squared - before).toBe(1);
    mended.clear();
  });

  test('fail: the other children of the job are cancelled, also those that run', async () => {
    const { platform } = treadle;
    const { id } = await platform.enqueuer.enqueueFlow(
      flow(total, {}, { children: [flow(square, { n: 1, hangs: true }), flow(square, { n: 2, fails: true })] }),
    );
    expect(await finished(id)).toMatchObject({ state: 'dead', error: { code: 'CHILD_FAILED' } });
    const { items } = await platform.jobs.list({ parent: id }, { limit: 10 });
    const ends = await Promise.all(items.map((child) => finished(child.id)));
    expect(ends.map(({ state }) => state).toSorted()).toEqual(['cancelled', 'dead']);
  });

  test('a child that is redriven without the job that failed with it is left to run', async () => {
    const { platform } = treadle;
    const job = await run({ children: 2, failing: [1] });
    const { items } = await platform.jobs.list({ parent: job.id, state: 'dead' }, { limit: 1 });
    const [child] = items;
    await platform.queues.pause('children');
    await platform.jobs.retry(child?.id ?? '');
    await (await platform.reconciler()).reconcile();
    expect(await platform.jobs.find(child?.id ?? '')).toMatchObject({ state: 'accepted' });
    mended.add(1);
    await platform.queues.resume('children');
    expect(await finished(child?.id ?? '')).toMatchObject({ state: 'completed', result: 1 });
    mended.clear();
  });

  test('a flow given whole runs from its leaves to its root', async () => {
    const branch = (n: number): FlowNode =>
      flow(total, {}, { children: [flow(square, { n }), flow(square, { n: n + 1 })], tags: ['branch'] });
    const { id, state } = await treadle.platform.enqueuer.enqueueFlow(
      flow(total, {}, { children: [branch(1), branch(3)] }),
    );
    expect(state).toBe('waiting-children');
    expect(await finished(id)).toMatchObject({ state: 'completed', result: 1 + 4 + 9 + 16 });
  });

  test('cancelling a job cancels what is below it', async () => {
    const { platform } = treadle;
    const { id } = await platform.enqueuer.enqueueFlow(
      flow(total, {}, { children: [flow(total, {}, { children: [flow(square, { n: 1, hangs: true })] })] }),
    );
    await platform.jobs.cancel(id);
    const { items } = await platform.jobs.list({ parent: id }, { limit: 10 });
    const [middle] = items;
    const [leaf] = (await platform.jobs.list({ parent: middle?.id ?? '' }, { limit: 10 })).items;
    expect(await finished(leaf?.id ?? '')).toMatchObject({ state: 'cancelled' });
    expect(await finished(middle?.id ?? '')).toMatchObject({ state: 'cancelled' });
  });

  test('a child added from SQL or with a parent option keeps the parent waiting', async () => {
    const { platform } = treadle;
    const { id } = await platform.enqueuer.enqueueFlow(
      flow(total, {}, { children: [flow(square, { n: 1, hangs: true })] }),
    );
    await platform.enqueuer.enqueue(square, { n: 2 }, { parent: id });
    await database.query(
      `SELECT treadle.enqueue('flows.square', '{ "n": 3 }', jsonb_build_object('parent', $1::uuid))`,
      [id],
    );
    expect(await platform.jobs.find(id)).toMatchObject({ state: 'waiting-children', children: { total: 3 } });
    await platform.jobs.cancelChildren(id);
    expect(await finished(id)).toMatchObject({ state: 'dead' });
  });

  test('a parent whose last child ended unseen is found by the reconciler', async () => {
    const { platform } = treadle;
    const { id } = await platform.enqueuer.enqueueFlow(
      flow(total, {}, { children: [flow(square, { n: 1, hangs: true })] }),
    );
    const [child] = (await platform.jobs.list({ parent: id }, { limit: 1 })).items;
    await database.query('UPDATE treadle.jobs SET parent_id = NULL WHERE id = $1', [child?.id]);
    expect(await (await platform.reconciler()).reconcile()).toBe(1);
    expect(await finished(id)).toMatchObject({ state: 'completed', result: 0 });
    await platform.jobs.cancel(child?.id ?? '');
  });

  const faultsOf = async (work: Promise<unknown>): Promise<unknown> => {
    const error = await work.catch((thrown: unknown) => thrown);
    if (!(error instanceof AppError)) throw new Error('nothing was refused');
    return error.details;
  };

  test('a flow that contains itself, has faults deep down or too many jobs is refused whole', async () => {
    const { enqueuer } = treadle.platform;
    const circle: { children: FlowNode[] } & Omit<FlowNode, 'children'> = { ...flow(total, {}), children: [] };
    circle.children.push(flow(total, {}, { children: [circle] }));
    expect(await faultsOf(enqueuer.enqueueFlow(circle))).toMatchObject({
      faults: [{ path: 'children[0].children[0]', message: expect.stringContaining('contains itself') }],
    });
    const wrong = { ...flow(square, { n: 1 }), payload: { n: 'one' }, options: { delayMs: 5, priority: 12 } };
    expect(
      await faultsOf(enqueuer.enqueueFlow(flow(total, {}, { children: [flow(square, { n: 1 }), wrong] }))),
    ).toMatchObject({
      faults: [
        { path: 'children[1].options.delayMs' },
        { path: 'children[1].payload.n' },
        { path: 'children[1].options.priority' },
      ],
    });
    const many = Array.from({ length: 10_000 }, () => flow(square, { n: 1 }));
    expect(await faultsOf(enqueuer.enqueueFlow(flow(total, {}, { children: many })))).toMatchObject({
      faults: [{ path: 'children[9999]', message: expect.stringContaining('more than 10,000') }],
    });
    expect(await database.query(`SELECT FROM treadle.jobs WHERE name = 'flows.total'`)).toEqual([]);
  });

  test('a parent that is not open, and a child that is to stand for another job, are refused', async () => {
    const { enqueuer } = treadle.platform;
    const parent = '0198d2f0-0000-7000-8000-000000000000';
    expect(await faultsOf(enqueuer.enqueue(square, { n: 1 }, { parent }))).toMatchObject({
      faults: [{ path: 'options.parent', message: 'is not an open job' }],
    });
    expect(await faultsOf(enqueuer.enqueue(square, { n: 1 }, { parent, deduplicationKey: 'a' }))).toMatchObject({
      faults: [{ path: 'options.deduplicationKey' }],
    });
    await expect(
      database.query(`SELECT treadle.enqueue('flows.square', '{ "n": 3 }', jsonb_build_object('parent', $1::text))`, [
        parent,
      ]),
    ).rejects.toThrow('is not an open job');
  });
};

describe('flows, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('flows, BullMQ on Redis', () => {
  suite(useRedis());
});
