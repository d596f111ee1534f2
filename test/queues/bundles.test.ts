import { afterAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { BullTransport } from '../../src/queues/bullmq/bull-transport.ts';
import { startScheduler } from '../../src/workers/scheduler.ts';
import { startWorker } from '../../src/workers/worker.ts';
import { BullConsumer } from '../../src/workers/runtime/bull-consumer.ts';
import { LedgerBundles } from '../../src/workers/runtime/ledger-bundles.ts';
import type { BundleLedger, QueueItem } from '../../src/queues/transport.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useDatabase } from '../services/database.ts';
import { useTreadle } from './use-treadle.ts';

const payload = z.object({ n: z.number().int() });
const quick = defineJob({ name: 'packed.quick', queue: 'packed', payload, attempts: 3 });
const slow = defineJob({ name: 'packed.slow', queue: 'packed', payload });
const flood = defineJob({ name: 'flood.quick', queue: 'flood', payload });
const alone = defineJob({ name: 'alone.quick', queue: 'alone', payload });
const packed = defineQueue({ name: 'packed', concurrency: 2 });
/** Worked on by the test that needs it. */
const unattended = defineQueue({ name: 'alone', concurrency: 2, lockMs: 1_500 });

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const ran: number[] = [];
  const flooded: number[] = [];
  let release = Promise.withResolvers<void>();
  const running = new Set<number>();
  const handlers = [
    handle(quick, async ({ payload: { n }, job }) => {
      ran.push(n);
      if (n < 0 && job.attempt === 1) throw new Error('the first attempt fails');
      return completed(null);
    }),
    handle(slow, async ({ payload: { n } }) => {
      running.add(n);
      await release.promise;
      return completed(null);
    }),
    handle(alone, async ({ payload: { n } }) => {
      ran.push(n);
      return completed(null);
    }),
    handle(flood, async ({ payload: { n } }) => {
      flooded.push(n);
      return completed(null);
    }),
  ];
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [quick, slow, flood, alone],
    queues: [packed, unattended, defineQueue({ name: 'flood' })],
    handlers,
    env: { TREADLE_QUEUES: 'packed,flood' },
  });
  afterAll(() => release.resolve());

  /** Accepts jobs and gives them to their paused queue in one bundle, as the relay would. Answers their ids. */
  const relayTogether = async (
    contract: typeof quick | typeof slow | typeof alone,
    numbers: readonly number[],
    bundle: string,
    { lose = false }: { readonly lose?: boolean } = {},
  ): Promise<readonly string[]> => {
    const { enqueuer, queues, transports } = treadle.platform;
    await queues.pause(contract.queue);
    const accepted = await enqueuer.enqueueMany(
      contract,
      numbers.map((n) => ({ n })),
    );
    const ids = accepted.map(({ id }) => id);
    const transport = await transports.of(contract.queue);
    await database.query(
      `UPDATE treadle.jobs SET state = 'waiting', bundle = $2, relayed_at = now(), relay_epoch = $3 WHERE id = ANY ($1)`,
      [ids, bundle, await transport.epoch()],
    );
    const items = ids.map((id, index): QueueItem => {
      const envelope = { payload: { n: numbers[index] }, tenant: '', attemptsMade: 0, attemptsAllowed: 3 };
      return { id, name: contract.name, envelope: { ...envelope, timeoutMs: 30_000, returns: 0, tracked: true } };
    });
    if (!lose) await transport.add([{ id: bundle, items }]);
    return ids;
  };

  const statesOf = (ids: readonly string[]): Promise<readonly (string | undefined)[]> =>
    Promise.all(ids.map(async (id) => (await treadle.platform.jobs.find(id))?.state));
  const ended = async (ids: readonly string[]): Promise<readonly (string | undefined)[]> => {
    for (const id of ids) await treadle.platform.jobs.wait(id, 20_000);
    return statesOf(ids);
  };

  test('under a flood of short jobs several travel as one entry, and each runs once', async () => {
    const { enqueuer } = treadle.platform;
    for (let batch = 0; batch < 5; batch += 1) {
      await enqueuer.enqueueMany(
        flood,
        Array.from({ length: 1_000 }, (_, n) => ({ n: batch * 1_000 + n })),
      );
    }
    const bundled = async (): Promise<boolean> =>
      (await database.query('SELECT 1 FROM treadle.jobs WHERE bundle IS NOT NULL LIMIT 1')).length > 0;
    await expect.poll(bundled, { timeout: 20_000, interval: 5 }).toBe(true);
    await expect.poll(() => flooded.length, { timeout: 30_000 }).toBe(5_000);
    expect(new Set(flooded).size).toBe(5_000);
  });

  test('each job of a bundle ends on its own: one is cancelled before it runs, one fails and is retried', async () => {
    const ids = await relayTogether(quick, [1, 2, -3], 'ends.0');
    expect((await treadle.platform.jobs.cancel(ids[1] ?? '')).state).toBe('cancelled');
    await treadle.platform.queues.resume('packed');
    expect(await ended(ids)).toEqual(['completed', 'cancelled', 'completed']);
    expect(ran.toSorted((a, b) => a - b)).toEqual([-3, -3, 1]);
  });

  test('a bundle that a silent worker had comes apart, and what had ended does not run again', async () => {
    const { platform } = treadle;
    const { config, postgres, queues, transports } = platform;
    ran.length = 0;
    const ids = await relayTogether(alone, [11, 12, 13], 'silent.0');
    const transport = await transports.of('alone');
    if (!(transport instanceof BullTransport)) throw new Error('the queue is one of BullMQ');
    const silent = (await transports.bull()).openWorker('alone', () => new Promise<null>(() => undefined), unattended);
    await queues.resume('alone');
    await expect.poll(async () => transport.bull.getActiveCount(), { timeout: 10_000 }).toBe(1);
    await silent.close(true);
    await postgres.query(
      `WITH gone AS (DELETE FROM treadle.jobs WHERE id = $1 RETURNING *)
       INSERT INTO treadle.finished_jobs (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed,
         attempts_made, timeout_ms, due_at, created_at, failures)
       SELECT id, name, queue, 'completed', priority, tenant, payload, tags, attempts_allowed, 1, timeout_ms, due_at,
         created_at, failures FROM gone`,
      [ids[0]],
    );
    const next = await startWorker({ ...platform, config: { ...config, queues: ['alone'] } }, { handlers });
    expect(await ended(ids)).toEqual(['completed', 'completed', 'completed']);
    expect(ran.toSorted((a, b) => a - b)).toEqual([12, 13]);
    await next.close();
  });

  test('a bundle about which the ledger could not answer is not lost: its jobs run once its lock has run out', async () => {
    const { config, log, loops, postgres, queues, transports } = treadle.platform;
    ran.length = 0;
    const ids = await relayTogether(alone, [41, 42], 'unanswered.0');
    const ledger = new LedgerBundles(postgres, transports, log);
    const asked: string[] = [];
    const bundles: BundleLedger = {
      admit: (bundle) => Promise.reject(new Error(`no answer about ${String(asked.push(bundle))}`)),
      split: (bundle, items) => ledger.split(bundle, items),
      close: () => ledger.close(),
    };
    const deaf = new BullConsumer(
      { connection: await transports.bull(), bundles, loops, log },
      {
        ...unattended,
        queue: 'alone',
        runsTogether: () => false,
        run: () => Promise.reject(new Error('nothing was admitted')),
      },
    );
    await queues.resume('alone');
    await expect.poll(() => asked, { timeout: 10_000 }).toEqual(['unanswered.0']);
    await deaf.close();
    const next = await startWorker({ ...treadle.platform, config: { ...config, queues: ['alone'] } }, { handlers });
    expect(await ended(ids)).toEqual(['completed', 'completed']);
    expect(ran.toSorted((a, b) => a - b)).toEqual([41, 42]);
    await next.close();
  });

  test('what a leader picked and did not live to add is added by the next, what it did add runs once', async () => {
    ran.length = 0;
    const lost = await relayTogether(quick, [21, 22], 'lost.0', { lose: true });
    const added = await relayTogether(quick, [23, 24], 'added.0');
    await database.query(
      `SELECT pg_terminate_backend(l.pid) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
       WHERE l.locktype = 'advisory' AND a.application_name = 'treadle:relay' AND a.datname = current_database() AND l.granted`,
    );
    const next = await startScheduler(treadle.platform, { schedules: [] });
    await treadle.platform.queues.resume('packed');
    expect(await ended([...lost, ...added])).toEqual(['completed', 'completed', 'completed', 'completed']);
    await next.close();
    expect(ran.toSorted((a, b) => a - b)).toEqual([21, 22, 23, 24]);
  });

  test('a job that is cancelled while it waits for a slot beside its bundle mates never runs', async () => {
    release = Promise.withResolvers();
    running.clear();
    const ids = await relayTogether(slow, [51, 52, 53], 'cancelled.0');
    await treadle.platform.queues.resume('packed');
    await expect.poll(() => running.size, { timeout: 10_000, interval: 2 }).toBe(2);
    await treadle.platform.jobs.cancel(ids[2] ?? '');
    release.resolve();
    expect(await ended(ids)).toEqual(['completed', 'completed', 'cancelled']);
    // What still lies in the queue is taken out by now: this job came after it.
    const after = await treadle.platform.enqueuer.enqueue(quick, { n: 54 });
    expect(await ended([after.id])).toEqual(['completed']);
    expect([...running]).toEqual([51, 52]);
    running.clear();
  });

  test('of a bundle of jobs that turn out long, another worker takes those that would wait', async () => {
    release = Promise.withResolvers();
    const ids = await relayTogether(slow, [31, 32, 33, 34], 'long.0');
    await treadle.platform.queues.resume('packed');
    await expect.poll(() => running.size, { timeout: 10_000 }).toBe(2);
    const other = await startWorker(treadle.platform, { handlers });
    await expect.poll(() => running.size, { timeout: 10_000 }).toBe(4);
    release.resolve();
    expect(await ended(ids)).toEqual(['completed', 'completed', 'completed', 'completed']);
    await other.close();
  });
};

describe('bundles, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('bundles, BullMQ on Redis', () => {
  suite(useRedis());
});
