import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { AppError } from '../../src/lib/errors/app-error.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import type { JobRecord } from '../../src/queues/ledger/job-record.ts';
import { completed, deferred, permanent, rateLimited, retryable } from '../../src/queues/outcome.ts';
import { smallestAcl } from '../services/redis-acl.ts';
import {
  describeWithRedis,
  describeWithRedisProgram,
  useRedis,
  useRedisCluster,
  type TestRedis,
} from '../services/redis.ts';
import { useDatabase } from '../services/database.ts';
import { useTreadle } from './use-treadle.ts';

const queue = defineQueue({ name: 'things', concurrency: 10, lockMs: 2_000 });
const backoff = { type: 'fixed', delayMs: 1 } as const;
const payload = z.object({ n: z.number().int(), text: z.string().optional() });
const echo = defineJob({ name: 'things.echo', queue: 'things', payload, backoff });
const flaky = defineJob({ name: 'things.flaky', queue: 'things', payload, attempts: 3, backoff });
const hopeless = defineJob({ name: 'things.hopeless', queue: 'things', payload, attempts: 2, backoff });
const invalid = defineJob({ name: 'things.invalid', queue: 'things', payload, backoff });
const limited = defineJob({ name: 'things.limited', queue: 'things', payload, attempts: 1, backoff });
const later = defineJob({ name: 'things.later', queue: 'things', payload, attempts: 1, backoff });
const slow = defineJob({ name: 'things.slow', queue: 'things', payload, timeoutMs: 300, attempts: 1, backoff });
const endless = defineJob({ name: 'things.endless', queue: 'things', payload, attempts: 1, backoff });
const latest = defineJob({ name: 'things.latest', queue: 'things', payload, deduplicateBy: ['n'], backoff });
const effect = defineJob({ name: 'things.effect', queue: 'things', payload, backoff });
const direct = defineJob({
  name: 'things.direct',
  queue: 'things',
  payload,
  durability: 'queue',
  attempts: 2,
  backoff,
});
const contracts = [echo, flaky, hopeless, invalid, limited, later, slow, endless, latest, effect, direct];

const suite = (redis?: Pick<TestRedis, 'url'>): void => {
  const database = useDatabase();
  const seen: { job: string; n: number; attempt: number; text: string | undefined }[] = [];
  const note = (context: { job: { name: string; attempt: number }; payload: z.output<typeof payload> }): number =>
    seen.push({
      job: context.job.name,
      n: context.payload.n,
      attempt: context.job.attempt,
      text: context.payload.text,
    });
  const runsOf = (job: string, n: number) => seen.filter((run) => run.job === job && run.n === n);
  /** What attempts of the endless job find noted of their progress. */
  const foundNotes: (string | undefined)[] = [];
  const aborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }));

  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts,
    queues: [queue],
    handlers: [
      handle(echo, async (context) => {
        note(context);
        context.progress(1, 'all done');
        return completed({ n: context.payload.n });
      }),
      handle(flaky, async (context) => {
        note(context);
        if (context.job.attempt < 3) throw new Error(`attempt ${context.job.attempt} failed`);
        return completed('at last');
      }),
      handle(hopeless, async (context) => {
        note(context);
        return retryable(new Error('no use'));
      }),
      handle(invalid, async () => permanent(new AppError('NOT_FOUND', 'no such thing', {}))),
      handle(limited, async (context) => {
        note(context);
        return runsOf('things.limited', context.payload.n).length < 2 ? rateLimited(5) : completed('ok');
      }),
      handle(later, async (context) => {
        note(context);
        return runsOf('things.later', context.payload.n).length < 2
          ? deferred(new Date(Date.now() + 5))
          : completed('ok');
      }),
      handle(slow, async ({ signal }) => aborted(signal)),
      handle(endless, async ({ payload: { text }, signal, progress, platform, job }) => {
        foundNotes.push((await platform.jobs.find(job.id))?.progress?.note);
        progress(0.5, 'half way');
        return aborted(signal).finally(() => text !== undefined && progress(0.75, text));
      }),
      handle(latest, async (context) => {
        note(context);
        return completed(null);
      }),
      handle(effect, async (context) => {
        note(context);
        return context.platform.postgres.transaction(async (tx) => {
          await tx.query('INSERT INTO effects (n) VALUES ($1)', [context.payload.n]);
          return context.completeIn(tx, { done: true });
        });
      }),
      handle(direct, async (context) => {
        note(context);
        if (context.payload.text === 'fail') throw new Error('failed');
        return completed(null);
      }),
    ],
  });

  const finished = async (id: string): Promise<JobRecord> => {
    const job = await treadle.platform.jobs.wait(id, 15_000);
    if (!job) throw new Error('the job vanished');
    return job;
  };

  test('an accepted job runs once and its result is kept', async () => {
    const { enqueuer, jobs } = treadle.platform;
    const accepted = await enqueuer.enqueue(echo, { n: 1 }, { tags: ['a'] });
    expect(accepted).toMatchObject({ queue: 'things', name: 'things.echo', state: 'accepted' });
    const job = await finished(accepted.id);
    expect(job).toMatchObject({ state: 'completed', attemptsMade: 1, result: { n: 1 }, tags: ['a'], failures: [] });
    expect(job.progress).toEqual({ fraction: 1, note: 'all done' });
    expect(job.startedAt?.getTime()).toBeLessThanOrEqual(job.finishedAt?.getTime() ?? 0);
    expect(runsOf('things.echo', 1)).toHaveLength(1);
    expect((await jobs.list({ tag: 'a' }, { limit: 5 })).items.map(({ id }) => id)).toEqual([accepted.id]);
  });

  test('a job of a transaction that rolls back never exists', async () => {
    const { enqueuer, postgres } = treadle.platform;
    await expect(
      postgres.transaction(async (tx) => {
        await enqueuer.enqueue(echo, { n: 2 }, { tx });
        await enqueuer.enqueueMany(echo, [{ n: 2 }, { n: 2 }], { tx });
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    const kept = await postgres.transaction((tx) => enqueuer.enqueue(echo, { n: 3 }, { tx }));
    await finished(kept.id);
    expect(runsOf('things.echo', 2)).toEqual([]);
    expect(await database.query(`SELECT 1 FROM treadle.all_jobs WHERE payload @> '{"n": 2}'`)).toEqual([]);
  });

  test('a failed attempt is retried, and its error stays with the job', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(flaky, { n: 1 });
    const job = await finished(id);
    expect(job).toMatchObject({ state: 'completed', result: 'at last', attemptsMade: 3 });
    expect(job.failures.map(({ attempt, error }) => [attempt, error.message])).toEqual([
      [1, 'attempt 1 failed'],
      [2, 'attempt 2 failed'],
    ]);
  });

  test('a job that fails every attempt is a dead letter, and runs again when redriven', async () => {
    const { enqueuer, deadLetters } = treadle.platform;
    const { id } = await enqueuer.enqueue(hopeless, { n: 1 });
    expect(await finished(id)).toMatchObject({ state: 'dead', attemptsMade: 2, error: { message: 'no use' } });
    expect((await deadLetters.list({ name: 'things.hopeless' }, { limit: 10 })).items.map((job) => job.id)).toEqual([
      id,
    ]);
    expect(await deadLetters.redrive({ ids: [id] }, 10)).toBe(1);
    const again = await finished(id);
    expect(again).toMatchObject({ state: 'dead', attemptsMade: 2 });
    expect(again.failures).toHaveLength(4);
    expect(runsOf('things.hopeless', 1)).toHaveLength(4);
  });

  test('a permanent failure is not retried', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(invalid, { n: 1 });
    expect(await finished(id)).toMatchObject({ state: 'dead', attemptsMade: 1, error: { code: 'NOT_FOUND' } });
  });

  test('being rate limited and deferring cost no attempt', async () => {
    const { enqueuer } = treadle.platform;
    const one = await enqueuer.enqueue(limited, { n: 1 });
    const two = await enqueuer.enqueue(later, { n: 1 });
    expect(await finished(one.id)).toMatchObject({ state: 'completed', attemptsMade: 1, failures: [] });
    expect(await finished(two.id)).toMatchObject({ state: 'completed', attemptsMade: 1, failures: [] });
    expect(seen.filter(({ job }) => job === 'things.limited').map(({ attempt }) => attempt)).toEqual([1, 1]);
  });

  test('an attempt that runs past its time is ended with TIMEOUT', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(slow, { n: 1 });
    expect(await finished(id)).toMatchObject({ state: 'dead', error: { code: 'TIMEOUT' } });
  });

  test('cancelling reaches a running handler', async () => {
    const { enqueuer, jobs } = treadle.platform;
    const { id } = await enqueuer.enqueue(endless, { n: 1 });
    for await (const { job } of jobs.watch(id, AbortSignal.timeout(10_000))) {
      if (job.progress?.fraction === 0.5) break;
    }
    await jobs.cancel(id);
    expect(await finished(id)).toMatchObject({ state: 'cancelled', progress: { fraction: 0.5, note: 'half way' } });
    await expect(jobs.cancel(id)).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
  });

  test('a delayed job waits, is promoted, and a cancelled one never runs', async () => {
    const { enqueuer, jobs } = treadle.platform;
    const waiting = await enqueuer.enqueue(echo, { n: 10 }, { delayMs: 600_000 });
    const unwanted = await enqueuer.enqueue(echo, { n: 11 }, { delayMs: 600_000 });
    expect(waiting.state).toBe('delayed');
    expect(await jobs.cancel(unwanted.id)).toMatchObject({ state: 'cancelled' });
    expect(runsOf('things.echo', 10)).toEqual([]);
    await jobs.promote(waiting.id);
    expect(await finished(waiting.id)).toMatchObject({ state: 'completed' });
    expect(runsOf('things.echo', 11)).toEqual([]);
  });

  test('a short delay ends by itself', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(echo, { n: 12 }, { delayMs: 150 });
    const job = await finished(id);
    expect(job.startedAt?.getTime()).toBeGreaterThanOrEqual(job.dueAt.getTime());
  });

  test('of several changes with one deduplication key the last one runs', async () => {
    const { enqueuer, queues } = treadle.platform;
    await queues.pause('things');
    const first = await enqueuer.enqueue(latest, { n: 1, text: 'first' });
    const second = await enqueuer.enqueue(latest, { n: 1, text: 'second' });
    const many = await enqueuer.enqueueMany(latest, [
      { n: 1, text: 'third' },
      { n: 2, text: 'other' },
      { n: 1, text: 'fourth' },
    ]);
    expect(second.id).toBe(first.id);
    expect(many.map(({ id }) => id === first.id)).toEqual([true, false, true]);
    await queues.resume('things');
    await finished(first.id);
    await finished(many[1]?.id ?? '');
    expect(runsOf('things.latest', 1).map(({ text }) => text)).toEqual(['fourth']);
    expect(runsOf('things.latest', 2).map(({ text }) => text)).toEqual(['other']);
  });

  test('one deduplication key stands for one job of each tenant, also beside jobs without a key', async () => {
    const { enqueuer, queues } = treadle.platform;
    await queues.pause('things');
    const request = (name: string, n: number, tenant: string) => ({
      name,
      payload: { n, text: tenant },
      options: { tenant },
    });
    const accepted = await enqueuer.enqueueBatch([
      request('things.latest', 7, 'a'),
      request('things.echo', 70, 'a'),
      request('things.latest', 7, 'b'),
      request('things.latest', 7, 'a'),
      request('things.echo', 71, 'b'),
    ]);
    await queues.resume('things');
    expect(accepted.map(({ name }) => name)).toEqual([
      'things.latest',
      'things.echo',
      'things.latest',
      'things.latest',
      'things.echo',
    ]);
    expect(new Set(accepted.map(({ id }) => id)).size).toBe(4);
    expect(accepted[3]?.id).toBe(accepted[0]?.id);
    for (const { id } of accepted) expect(await finished(id)).toMatchObject({ state: 'completed' });
    expect(
      runsOf('things.latest', 7)
        .map(({ text }) => text)
        .toSorted((a, b) => (a ?? '').localeCompare(b ?? '')),
    ).toEqual(['a', 'b']);
  });

  test('an idempotency key makes one job of many requests, and refuses another request', async () => {
    const { enqueuer } = treadle.platform;
    const ask = (n: number) =>
      enqueuer.enqueueByName({ name: 'things.echo', payload: { n }, options: { idempotencyKey: 'order-7' } });
    const answers = await Promise.all([ask(20), ask(20), ask(20), ask(20)]);
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    await finished(answers[0].id);
    await expect(ask(21)).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
    expect(runsOf('things.echo', 20)).toHaveLength(1);
  });

  test('an effect and its completion commit together', async () => {
    await database.query('CREATE TABLE effects (n integer)');
    const accepted = await treadle.platform.enqueuer.enqueueMany(
      effect,
      Array.from({ length: 20 }, (_, n) => ({ n })),
    );
    for (const { id } of accepted)
      expect(await finished(id)).toMatchObject({ state: 'completed', result: { done: true } });
    expect(
      await database.query('SELECT count(*)::int AS rows, count(DISTINCT n)::int AS numbers FROM effects'),
    ).toEqual([{ rows: 20, numbers: 20 }]);
  });

  test('a thousand jobs of ten tenants all run once', async () => {
    const { enqueuer } = treadle.platform;
    const payloads = Array.from({ length: 100 }, (_, n) => ({ n: 1_000 + n }));
    const batches = await Promise.all(
      Array.from({ length: 10 }, (_, tenant) => enqueuer.enqueueMany(echo, payloads, { tenant: `tenant-${tenant}` })),
    );
    const ids = batches.flat().map(({ id }) => id);
    const done = `SELECT FROM treadle.finished_jobs WHERE id = ANY ($1) AND state = 'completed'`;
    await expect
      .poll(async () => (await database.query(done, [ids])).length, { timeout: 50_000, interval: 100 })
      .toBe(1_000);
    expect(seen.filter(({ n }) => n >= 1_000 && n < 1_100)).toHaveLength(1_000);
  });

  test('jobs straight to the queue leave a trace only when they fail', async () => {
    const { enqueuer, jobs } = treadle.platform;
    const good = await enqueuer.enqueue(direct, { n: 1 });
    const bad = await enqueuer.enqueue(direct, { n: 2, text: 'fail' });
    await expect.poll(() => runsOf('things.direct', 1).length, { timeout: 10_000 }).toBe(1);
    await expect.poll(async () => (await jobs.find(bad.id))?.state, { timeout: 10_000 }).toBe('dead');
    expect((await jobs.find(bad.id))?.failures).toHaveLength(2);
    expect(await jobs.find(good.id)).toBeUndefined();
  });

  test('a worker that closes hands its jobs back at no cost, as far as they are', async () => {
    const { enqueuer, jobs } = treadle.platform;
    foundNotes.length = 0;
    const { id } = await enqueuer.enqueue(endless, { n: 50, text: 'aborted' });
    await expect.poll(async () => (await jobs.find(id))?.state, { timeout: 10_000 }).toBe('active');
    const begun = (await jobs.find(id))?.startedAt;
    await treadle.replaceWorker();
    await expect.poll(async () => (await jobs.find(id))?.startedAt, { timeout: 10_000 }).not.toEqual(begun);
    expect(await jobs.find(id)).toMatchObject({ state: 'active', attemptsMade: 0, failures: [] });
    expect(foundNotes).toEqual([undefined, 'aborted']);
    await jobs.cancel(id);
    expect((await finished(id)).state).toBe('cancelled');
  });
};

describe('BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('BullMQ on Redis', () => {
  suite(useRedis());
});
describeWithRedisProgram('BullMQ on a Redis Cluster, as a user who may do little else', (program) => {
  suite(useRedisCluster(program, smallestAcl));
});
