import { afterEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handleBatch, type BatchContext } from '../../src/queues/handle.ts';
import type { JobRecord } from '../../src/queues/ledger/job-record.ts';
import { completed, permanent, retryable, type Outcome } from '../../src/queues/outcome.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useDatabase } from '../services/database.ts';
import { useTreadle } from './use-treadle.ts';

const mails = defineQueue({ name: 'mails', concurrency: 4, lockMs: 2_000 });
const send = defineJob({
  name: 'mails.send',
  queue: 'mails',
  payload: z.object({ account: z.string(), n: z.number() }),
  groupBy: ['account'],
  batchSize: 10,
  attempts: 3,
  timeoutMs: 5_000,
  backoff: { type: 'fixed', delayMs: 1 },
});
type Send = typeof send;

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const calls: { account: string; numbers: number[]; attempts: number[] }[] = [];
  const complete = (context: BatchContext<Send>): Promise<readonly Outcome[]> =>
    Promise.resolve(context.jobs.map(({ payload }) => completed(payload.n)));
  let answer = complete;
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [send],
    queues: [mails],
    handlers: [
      handleBatch(send, (context) => {
        calls.push({
          account: [...new Set(context.jobs.map(({ payload }) => payload.account))].join(),
          numbers: context.jobs.map(({ payload }) => payload.n),
          attempts: context.jobs.map(({ job }) => job.attempt),
        });
        return answer(context);
      }),
    ],
  });

  /** Accepts them all before the first is taken. */
  const enqueue = async (accounts: readonly string[], spoil?: (ids: readonly string[]) => Promise<unknown>) => {
    const { enqueuer, queues } = treadle.platform;
    await queues.pause('mails');
    const jobs = await enqueuer.enqueueMany(
      send,
      accounts.map((account, n) => ({ account, n })),
    );
    const ids = jobs.map(({ id }) => id);
    await spoil?.(ids);
    await queues.resume('mails');
    return ids;
  };
  const finished = async (id = ''): Promise<JobRecord> => {
    const job = await treadle.platform.jobs.wait(id, 20_000);
    if (!job) throw new Error('the job vanished');
    return job;
  };
  const same = (count: number): readonly string[] => Array.from({ length: count }, () => 'one');

  afterEach(() => {
    calls.length = 0;
    answer = complete;
  });

  test('jobs of one group are handed over together, never more than the contract says', async () => {
    const ids = await enqueue(Array.from({ length: 95 }, (_, n) => ['a', 'b', 'c'][n % 3] ?? ''));
    const results = await Promise.all(ids.map(finished));
    expect(results.map(({ result }) => result)).toEqual(ids.map((_, n) => n));
    expect(calls.map(({ account }) => account).every((account) => ['a', 'b', 'c'].includes(account))).toBe(true);
    expect(Math.max(...calls.map(({ numbers }) => numbers.length))).toBe(10);
    expect(calls.length).toBeLessThan(40);
  });

  test('each has an outcome of its own', async () => {
    answer = async ({ jobs }) =>
      jobs.map(({ payload: { n }, job }) => {
        if (n === 1) return permanent(new Error('no such address'));
        return n === 2 && job.attempt === 1 ? retryable(new Error('busy')) : completed(n * 10);
      });
    const ids = await enqueue(same(5));
    const ends = await Promise.all(ids.map(finished));
    expect(ends.map(({ state }) => state)).toEqual(['completed', 'dead', 'completed', 'completed', 'completed']);
    expect(ends.map(({ result }) => result)).toEqual([0, null, 20, 30, 40]);
    expect(ends[2]).toMatchObject({ attemptsMade: 2, failures: [{ error: { message: 'busy' } }] });
    expect(calls.map(({ numbers }) => numbers)).toEqual([[0, 1, 2, 3, 4], [2]]);
  });

  test('what the handler throws is the failure of all, and they are tried again', async () => {
    answer = async (context) => {
      if (context.jobs.some(({ job }) => job.attempt === 1)) throw new Error('the mail server is away');
      return complete(context);
    };
    const ends = await Promise.all((await enqueue(same(3))).map(finished));
    expect(ends.map(({ state, attemptsMade }) => `${state} ${attemptsMade}`)).toEqual(ends.map(() => 'completed 2'));
    expect(ends.map(({ failures }) => failures[0]?.error.message)).toEqual(ends.map(() => 'the mail server is away'));
  });

  test('an answer without an outcome for each is refused', async () => {
    answer = () => Promise.resolve([]);
    const ends = await Promise.all((await enqueue(same(3))).map(finished));
    expect(ends.map(({ state, error }) => `${state} ${error?.code}`)).toEqual(ends.map(() => 'dead VALIDATION_ERROR'));
    expect(ends[0]?.error?.message).toContain('an outcome for each of the 3 jobs');
  });

  test('a payload that no longer fits fails alone', async () => {
    const ids = await enqueue(same(4), ([, second]) =>
      database.query(`UPDATE treadle.jobs SET payload = '{ "account": "one", "n": "two" }' WHERE id = $1`, [second]),
    );
    const ends = await Promise.all(ids.map(finished));
    expect(ends.map(({ state }) => state)).toEqual(['completed', 'dead', 'completed', 'completed']);
    expect(ends[1]?.error).toMatchObject({ code: 'VALIDATION_ERROR', message: expect.stringContaining('n') });
    expect(calls.map(({ numbers }) => numbers)).toEqual([[0, 2, 3]]);
  });

  test('one of them is cancelled while they run; its signal is aborted, the others complete', async () => {
    const seen: boolean[][] = [];
    answer = async ({ jobs, signal }) => {
      await new Promise((resolve) => jobs[1]?.signal.addEventListener('abort', resolve, { once: true }));
      seen.push([...jobs.map((job) => job.signal.aborted), signal.aborted]);
      return jobs.map(({ signal: own }) => (own.aborted ? retryable(own.reason) : completed(null)));
    };
    const ids = await enqueue(same(3));
    await vi.waitFor(() => expect(calls.length).toBe(1), { timeout: 10_000 });
    await treadle.platform.jobs.cancel(ids[1] ?? '');
    const ends = await Promise.all(ids.map(finished));
    expect(ends.map(({ state }) => state)).toEqual(['completed', 'cancelled', 'completed']);
    expect(seen).toEqual([[false, true, false, false]]);
  });

  test('their effects and completions may commit in one transaction', async () => {
    await database.query('CREATE TABLE sent (n integer)');
    answer = ({ jobs, platform }) =>
      platform.postgres.transaction(async (tx) => {
        await tx.query('INSERT INTO sent SELECT unnest($1::integer[])', [jobs.map(({ payload }) => payload.n)]);
        const outcomes: Outcome[] = [];
        for (const { completeIn, payload } of jobs) outcomes.push(await completeIn(tx, { n: payload.n }));
        return outcomes;
      });
    const ends = await Promise.all((await enqueue(same(7))).map(finished));
    expect(ends.map(({ result }) => result)).toEqual(ends.map((_, n) => ({ n })));
    expect(
      await database.query('SELECT count(*)::integer AS rows, count(DISTINCT n)::integer AS numbers FROM sent'),
    ).toEqual([{ rows: 7, numbers: 7 }]);
  });

  test('a worker that closes hands the whole call back, at no cost', async () => {
    let first = true;
    answer = async (context) => {
      if (!first) return complete(context);
      first = false;
      return new Promise((_, reject) => context.signal.addEventListener('abort', () => reject(new Error('aborted'))));
    };
    const ids = await enqueue(same(6));
    await vi.waitFor(() => expect(calls.length).toBe(1), { timeout: 10_000 });
    await treadle.replaceWorker();
    const ends = await Promise.all(ids.map(finished));
    expect(ends.map(({ state, attemptsMade }) => `${state} ${attemptsMade}`)).toEqual(ends.map(() => 'completed 1'));
  });
};

describe('several jobs in one call, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('several jobs in one call, BullMQ on Redis', () => {
  suite(useRedis());
});
