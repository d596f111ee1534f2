import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { createLog } from '../../src/lib/log/create-log.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { Reconciler } from '../../src/queues/relay/reconciler.ts';
import { startScheduler } from '../../src/workers/scheduler.ts';
import type { RunningRole } from '../../src/workers/running-role.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useDatabase } from '../services/database.ts';
import { useTreadle, type TestTreadle } from './use-treadle.ts';

const queue = defineQueue({ name: 'things', concurrency: 4, lockMs: 2_000 });
const payload = z.object({ n: z.number().int() });
const count = defineJob({ name: 'things.count', queue: 'things', payload, timeoutMs: 1_000 });
const latest = defineJob({
  name: 'things.latest',
  queue: 'things',
  payload: z.object({ key: z.string(), text: z.string() }),
  deduplicateBy: ['key'],
  timeoutMs: 1_000,
});

interface Running {
  readonly treadle: TestTreadle;
  readonly ran: readonly number[];
  readonly openJobs: () => Promise<number>;
}

const suite = (redis?: TestRedis, extra?: (running: Running) => void): void => {
  const database = useDatabase();
  const ran: number[] = [];
  const texts = new Map<string, string[]>();
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [count, latest],
    queues: [queue],
    handlers: [
      handle(count, async ({ payload: { n }, signal }) => {
        await new Promise((resolve) => setImmediate(resolve));
        signal.throwIfAborted();
        ran.push(n);
        return completed(null);
      }),
      handle(latest, async ({ payload: { key, text } }) => {
        texts.set(key, [...(texts.get(key) ?? []), text]);
        return completed(text);
      }),
    ],
  });
  let second: RunningRole | undefined;
  beforeAll(async () => {
    second = await startScheduler(treadle.platform, { schedules: [] });
  });
  afterAll(() => second?.close());

  const openJobs = async (): Promise<number> => {
    const [row] = await database.query<{ open: number }>('SELECT count(*)::int AS open FROM treadle.jobs');
    return row?.open ?? -1;
  };

  extra?.({ treadle, ran, openJobs });

  test('when the leader of the relay is lost, the other scheduler takes over', async () => {
    const [before] = await database.query<{ pid: number }>(
      `SELECT l.pid FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
       WHERE l.locktype = 'advisory' AND a.application_name = 'treadle:relay' AND a.datname = current_database() AND l.granted`,
    );
    await database.query('SELECT pg_terminate_backend($1)', [before?.pid]);
    const { id } = await treadle.platform.enqueuer.enqueue(count, { n: 1_000 });
    expect(await treadle.platform.jobs.wait(id, 15_000)).toMatchObject({ state: 'completed' });
  });

  test('a resume that the queue never heard of reaches it by the next leader of the relay', async () => {
    await (await treadle.platform.transports.of('things')).setPaused(true);
    const { id } = await treadle.platform.enqueuer.enqueue(count, { n: 1_500 });
    await database.query(
      `SELECT pg_terminate_backend(l.pid) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
       WHERE l.locktype = 'advisory' AND a.application_name = 'treadle:relay' AND a.datname = current_database() AND l.granted`,
    );
    expect(await treadle.platform.jobs.wait(id, 15_000)).toMatchObject({ state: 'completed' });
  });

  test('when the relay fails once to see what is due, it looks again', async () => {
    const { enqueuer, jobs, postgres } = treadle.platform;
    const queryPrepared = postgres.queryPrepared.bind(postgres);
    let failed = false;
    const spy = vi.spyOn(postgres, 'queryPrepared').mockImplementation((text, values) => {
      if (failed || !text.includes('promoted')) return queryPrepared(text, values);
      failed = true;
      return Promise.reject(Object.assign(new Error('the connection was lost'), { code: 'ECONNRESET' }));
    });
    const { id } = await enqueuer.enqueue(count, { n: 1_700 }, { delayMs: 300 });
    expect(await jobs.wait(id, 5_000)).toMatchObject({ state: 'completed' });
    expect(failed).toBe(true);
    spy.mockRestore();
  });

  test('a job that its queue lost is found by the reconciler', async () => {
    const { enqueuer, queues, transports, postgres, jobs } = treadle.platform;
    await queues.pause('things');
    const { id } = await enqueuer.enqueue(count, { n: 2_000 });
    // As if it had been relayed an hour ago, and the queue had forgotten it since.
    await database.query(
      `UPDATE treadle.jobs SET state = 'waiting', relayed_at = now() - interval '1 hour', relay_epoch = $2 WHERE id = $1`,
      [id, await (await transports.of('things')).epoch()],
    );
    await queues.resume('things');
    const reconciler = new Reconciler({
      postgres,
      transports: await transports.all(),
      log: createLog({ level: 'silent' }),
      cancelChildren: (parent) => treadle.platform.jobs.cancelChildren(parent),
    });
    expect(await reconciler.reconcile()).toBe(1);
    expect(await jobs.wait(id, 10_000)).toMatchObject({ state: 'completed' });
    expect(await reconciler.reconcile()).toBe(0);
  });

  test('a job that came back from its queue in the middle of its cancellation ends', async () => {
    const { platform } = treadle;
    const { id } = await platform.enqueuer.enqueue(count, { n: 2_002 }, { delayMs: 60_000 });
    await database.query('UPDATE treadle.jobs SET cancel_requested = true WHERE id = $1', [id]);
    await (await platform.reconciler()).reconcile();
    expect(await platform.jobs.find(id)).toMatchObject({ state: 'cancelled' });
  });

  test('a job that its queue lost is found beside a newer change of the same thing', async () => {
    const { enqueuer, queues, transports, postgres, jobs } = treadle.platform;
    await queues.pause('things');
    const lost = await enqueuer.enqueue(latest, { key: 'lost', text: 'first' });
    await database.query(
      `UPDATE treadle.jobs SET state = 'active', relayed_at = now() - interval '1 hour', relay_epoch = $2 WHERE id = $1`,
      [lost.id, await (await transports.of('things')).epoch()],
    );
    const newer = await enqueuer.enqueue(latest, { key: 'lost', text: 'second' });
    expect(newer.id).not.toBe(lost.id);
    const reconciler = new Reconciler({
      postgres,
      transports: await transports.all(),
      log: createLog({ level: 'silent' }),
      cancelChildren: (parent) => treadle.platform.jobs.cancelChildren(parent),
    });
    expect(await reconciler.reconcile()).toBe(1);
    await queues.resume('things');
    for (const { id } of [lost, newer]) expect(await jobs.wait(id, 10_000)).toMatchObject({ state: 'completed' });
    expect(texts.get('lost')?.toSorted()).toEqual(['first', 'second']);
  });

  test('a change runs though the relay died with the job before it in the queue already', async () => {
    const { enqueuer, queues, transports, jobs } = treadle.platform;
    await queues.pause('things');
    const { id } = await enqueuer.enqueue(latest, { key: 'died', text: 'first' });
    const payloadBefore = { key: 'died', text: 'first' };
    const envelope = {
      payload: payloadBefore,
      tenant: '',
      attemptsMade: 0,
      attemptsAllowed: 5,
      timeoutMs: 1_000,
      returns: 0,
      tracked: true,
    };
    await (await transports.of('things')).add([{ id, name: latest.name, envelope }]);
    expect((await enqueuer.enqueue(latest, { key: 'died', text: 'second' })).id).toBe(id);
    await queues.resume('things');
    expect(await jobs.wait(id, 10_000)).toMatchObject({ state: 'completed', result: 'second' });
    expect(texts.get('died')?.at(-1)).toBe('second');
  });
};

const flushed =
  (redis: TestRedis) =>
  ({ treadle, ran, openJobs }: Running): void => {
    test('jobs that were in Redis when it was flushed finish all the same', async () => {
      const { enqueuer, queues } = treadle.platform;
      await enqueuer.enqueueMany(
        count,
        Array.from({ length: 400 }, (_, n) => ({ n })),
      );
      await expect.poll(() => ran.length, { timeout: 10_000 }).toBeGreaterThan(20);
      await redis.client.flushdb();
      await expect.poll(openJobs, { timeout: 20_000 }).toBe(0);
      expect(new Set(ran).size).toBe(400);
      const summary = (await queues.list()).find(({ name }) => name === 'things');
      expect(summary?.counts).toMatchObject({ completed: 400, dead: 0 });
    });

    test('what a failover lost of the last second is found when Redis is back, however long the job may run', async () => {
      const { enqueuer, queues, transports, postgres, jobs } = treadle.platform;
      await queues.pause('things');
      const { id } = await enqueuer.enqueue(count, { n: 2_001 });
      const things = await transports.of('things');
      await postgres.query(
        `UPDATE treadle.jobs SET state = 'waiting', relayed_at = now() - interval '10 seconds', relay_epoch = $2 WHERE id = $1`,
        [id, await things.epoch()],
      );
      const reconciler = new Reconciler({
        postgres,
        transports: await transports.all(),
        log: createLog({ level: 'silent' }),
        cancelChildren: (parent) => jobs.cancelChildren(parent),
      });
      expect(await reconciler.reconcile()).toBe(0);
      const before = things.outages();
      await redis.client.client('KILL', 'TYPE', 'NORMAL', 'SKIPME', 'YES');
      await expect.poll(() => things.outages(), { timeout: 10_000 }).toBeGreaterThan(before);
      expect(await reconciler.reconcile()).toBe(1);
      await queues.resume('things');
      expect(await jobs.wait(id, 10_000)).toMatchObject({ state: 'completed' });
    });
  };

describe('faults, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('faults, BullMQ on Redis', () => {
  const redis = useRedis();
  suite(redis, flushed(redis));
});
