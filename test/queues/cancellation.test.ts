import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { defineJob, type JobContract } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle, type JobContext } from '../../src/queues/handle.ts';
import type { JobRecord } from '../../src/queues/ledger/job-record.ts';
import { completed, retryable } from '../../src/queues/outcome.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { TcpProxy } from '../services/tcp-proxy.ts';
import { useTreadle, type TestTreadle } from './use-treadle.ts';

const payload = z.object({ n: z.number().int() });
const polite = defineJob({ name: 'things.polite', queue: 'things', payload });
const upkeep = defineJob({ name: 'maintenance.upkeep', queue: 'maintenance', payload });
const deaf = defineJob({ name: 'single.deaf', queue: 'single', payload, timeoutMs: 20_000, attempts: 1 });
const next = defineJob({ name: 'single.next', queue: 'single', payload });

type Context = JobContext<JobContract<string, typeof payload>>;

const suite = (
  redis?: TestRedis,
  extra?: (treadle: TestTreadle, started: (n: number) => Promise<Context>) => void,
): void => {
  const database = useDatabase();
  const running = new Map<number, Context>();
  const aborted = new Map<number, unknown>();
  const letGo = new Map<number, () => void>();
  beforeAll(() => database.query('CREATE TABLE effects (n integer)'));
  afterAll(() => letGo.forEach((go) => go()));

  /** Waits for its signal, and says then that it failed. */
  const heed = (context: Context) =>
    new Promise<ReturnType<typeof retryable>>((resolve) => {
      running.set(context.payload.n, context);
      context.signal.addEventListener('abort', () => {
        aborted.set(context.payload.n, context.signal.reason);
        resolve(retryable(new Error('stopped')));
      });
    });
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [polite, upkeep, deaf, next],
    queues: [defineQueue({ name: 'things', concurrency: 4 }), defineQueue({ name: 'single', concurrency: 1 })],
    handlers: [
      handle(polite, heed),
      handle(upkeep, heed),
      handle(deaf, async (context) => {
        running.set(context.payload.n, context);
        await new Promise<void>((resolve) => letGo.set(context.payload.n, resolve));
        return completed('too late');
      }),
      handle(next, async () => completed('ran')),
    ],
  });
  const started = async (n: number): Promise<Context> => {
    await expect.poll(() => running.has(n), { timeout: 15_000, interval: 1 }).toBe(true);
    const context = running.get(n);
    if (!context) throw new Error('the handler does not run');
    return context;
  };
  const finished = async (id: string): Promise<JobRecord | undefined> => treadle.platform.jobs.wait(id, 15_000);

  test.for([
    ['has just begun', polite, 1],
    ['runs on the maintenance queue', upkeep, 2],
  ] as const)('a handler that %s hears of a cancel, and its failure is no reason to run again', async ([, job, n]) => {
    const { id } = await treadle.platform.enqueuer.enqueue(job, { n });
    await started(n);
    await treadle.platform.jobs.cancel(id);
    expect(await finished(id)).toMatchObject({ state: 'cancelled', attemptsMade: 0, failures: [] });
    expect(aborted.get(n)).toMatchObject({ name: 'AttemptAborted', abortCause: 'cancelled' });
  });

  test('a cancel that was not announced is found when the connection that listens is made again', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(polite, { n: 3 });
    await expect.poll(async () => (await treadle.platform.jobs.find(id))?.state, { timeout: 15_000 }).toBe('active');
    await database.query('UPDATE treadle.jobs SET cancel_requested = true WHERE id = $1', [id]);
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name = 'treadle:listen' AND datname = current_database()`,
    );
    expect(await finished(id)).toMatchObject({ state: 'cancelled' });
  });

  test('a job that somebody ended meanwhile is not run to its end', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(polite, { n: 4 });
    const context = await started(4);
    await database.query('DELETE FROM treadle.jobs WHERE id = $1', [id]);
    context.progress(0.5);
    await expect.poll(() => aborted.get(4), { timeout: 10_000 }).toMatchObject({ abortCause: 'lock-lost' });
  });

  test.for([
    ['a cancel', 5, {}, { state: 'cancelled', result: null }],
    ['its deadline', 6, { timeoutMs: 200 }, { state: 'dead', error: { code: 'TIMEOUT' }, result: null }],
  ] as const)(
    'a handler that ignores %s is given up: its slot is free, and what it still does is refused',
    async ([, n, options, ending]) => {
      const { enqueuer, jobs, postgres } = treadle.platform;
      const { id } = await enqueuer.enqueue(deaf, { n }, options);
      const context = await started(n);
      const after = await enqueuer.enqueue(next, { n });
      if (n === 5) await jobs.cancel(id);
      expect(await finished(id)).toMatchObject(ending);
      expect(await finished(after.id)).toMatchObject({ state: 'completed', result: 'ran' });

      const late = postgres.transaction(async (tx) => {
        await tx.query('INSERT INTO effects (n) VALUES ($1)', [n]);
        return context.completeIn(tx, 'too late');
      });
      await expect(late).rejects.toMatchObject({ name: 'OutcomeError', outcome: { kind: 'interrupted' } });
      expect(await database.query('SELECT n FROM effects WHERE n = $1', [n])).toEqual([]);
      context.progress(0.9, 'still here');
      letGo.get(n)?.();
      // By the time another job has come and gone, what was said before is written.
      await finished((await enqueuer.enqueue(next, { n })).id);
      expect(await jobs.find(id)).toMatchObject({ ...ending, progress: null });
    },
  );

  extra?.(treadle, started);
};

const whileAway =
  (cutQueue: () => Promise<void>) =>
  (treadle: TestTreadle, started: (n: number) => Promise<Context>): void => {
    test('while the server of the queue is away, a handler that has just begun hears of its cancel first', async () => {
      const { enqueuer, jobs } = treadle.platform;
      const { id } = await enqueuer.enqueue(polite, { n: 7 });
      const { signal } = await started(7);
      await vi.waitFor(async () => expect((await jobs.find(id))?.state).toBe('active'));
      await cutQueue();
      // As it is until the ledger has noted that the handler runs: the cancel asks the queue whether the job waits there.
      await treadle.platform.postgres.query(`UPDATE treadle.jobs SET state = 'waiting' WHERE id = $1`, [id]);
      const heard = new Promise((resolve) => signal.addEventListener('abort', () => resolve('the handler')));
      const answered = jobs.cancel(id).then(() => 'the caller');
      expect(await Promise.race([heard, answered])).toBe('the handler');
      await answered;
    });
  };

describe('cancelling, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('cancelling, BullMQ on Redis', () => {
  const redis = useRedis();
  let proxy: TcpProxy;
  beforeAll(async () => {
    proxy = new TcpProxy(redis.url);
    await proxy.open();
  });
  afterAll(() => proxy.close());
  suite(
    {
      get url() {
        return proxy.url;
      },
      get client() {
        return redis.client;
      },
    },
    whileAway(() => proxy.close()),
  );
});
