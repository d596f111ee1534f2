import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../../src/queues/define-job.ts';
import { handle } from '../../../src/queues/handle.ts';
import type { AcceptedJob, EnqueueOptions } from '../../../src/queues/ports.ts';
import { completed } from '../../../src/queues/outcome.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../../services/redis.ts';
import { useDatabase } from '../../services/database.ts';
import { useTreadle } from '../use-treadle.ts';

const payload = z.object({ key: z.string(), n: z.number() });
const plain = defineJob({ name: 'pace.plain', payload });
const settled = defineJob({
  name: 'pace.settled',
  payload,
  deduplicateBy: ['key'],
  debounceMs: 300,
  debounceMaxMs: 900,
});
const spaced = defineJob({ name: 'pace.spaced', payload, deduplicateBy: ['key'], throttleMs: 600 });

const held = defineJob({ name: 'pace.held', payload, deduplicateBy: ['key'] });

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const letGo = Promise.withResolvers<void>();
  const runs: { key: string; n: number; at: number }[] = [];
  const note = async ({ payload: { key, n } }: { readonly payload: z.output<typeof payload> }) => {
    runs.push({ key, n, at: Date.now() });
    return completed(null);
  };
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [plain, settled, spaced, held],
    handlers: [
      handle(held, async (context) => {
        await note(context);
        if (context.payload.n === 1) await letGo.promise;
        return completed(null);
      }),
      handle(plain, note),
      handle(settled, note),
      handle(spaced, note),
    ],
  });
  const numbersOf = (key: string): readonly number[] => runs.filter((run) => run.key === key).map(({ n }) => n);
  const finish = async ({ id }: Pick<AcceptedJob, 'id'>): Promise<void> => {
    expect((await treadle.platform.jobs.wait(id, 10_000))?.state).toBe('completed');
  };
  const sql = async (name: string, given: object, options: object = {}): Promise<string> => {
    const [row] = await database.query<{ id: string }>('SELECT treadle.enqueue($1, $2, $3) AS id', [
      name,
      JSON.stringify(given),
      JSON.stringify(options),
    ]);
    return row?.id ?? '';
  };

  test('of debounced changes only the last runs, however they are enqueued', async () => {
    const { enqueuer } = treadle.platform;
    const first = await enqueuer.enqueue(settled, { key: 'mixed', n: 1 });
    expect(first.state).toBe('delayed');
    const [second] = await enqueuer.enqueueMany(settled, [
      { key: 'mixed', n: 2 },
      { key: 'mixed', n: 3 },
    ]);
    expect(second?.id).toBe(first.id);
    expect(await sql('pace.settled', { key: 'mixed', n: 4 })).toBe(first.id);
    await finish(first);
    expect(numbersOf('mixed')).toEqual([4]);
  });

  test('each change puts a debounced run off, but not past the longest wait', async () => {
    const { enqueuer } = treadle.platform;
    const dueOf = async ({ id }: AcceptedJob): Promise<number> =>
      (await treadle.platform.jobs.find(id))?.dueAt.getTime() ?? 0;
    const options: EnqueueOptions = { deduplicationKey: 'far', debounceMs: 60_000, debounceMaxMs: 60_500 };
    const change = (more: EnqueueOptions = options): Promise<AcceptedJob> =>
      enqueuer.enqueue(plain, { key: 'far', n: 1 }, more);
    const job = await change();
    const due = await dueOf(job);
    await expect.poll(async () => dueOf(await change()), { timeout: 5_000 }).toBeGreaterThan(due + 50);
    await change({ ...options, debounceMs: 60_500 });
    const createdAt = (await treadle.platform.jobs.find(job.id))?.createdAt.getTime() ?? 0;
    expect(await dueOf(job)).toBe(createdAt + 60_500);
    await treadle.platform.jobs.promote(job.id);
    await finish(job);
    expect(numbersOf('far')).toEqual([1]);
  });

  test('a debounced job runs though changes keep coming', async () => {
    const { enqueuer } = treadle.platform;
    let n = 0;
    const first = await enqueuer.enqueue(settled, { key: 'restless', n });
    await expect
      .poll(
        async () => {
          n += 1;
          await enqueuer.enqueue(settled, { key: 'restless', n });
          return numbersOf('restless').length;
        },
        { timeout: 10_000 },
      )
      .toBeGreaterThan(0);
    await finish(first);
    const [run] = runs.filter(({ key }) => key === 'restless');
    const createdAt = (await treadle.platform.jobs.find(first.id))?.createdAt.getTime() ?? 0;
    expect((run?.at ?? 0) - createdAt).toBeGreaterThan(800);
    await expect.poll(() => numbersOf('restless').at(-1), { timeout: 10_000 }).toBe(n);
  });

  test('of a throttled key the first runs at once and the last change at the end of the window', async () => {
    const { enqueuer } = treadle.platform;
    await finish(await enqueuer.enqueue(spaced, { key: 'window', n: 1 }));
    const second = await enqueuer.enqueue(spaced, { key: 'window', n: 2 });
    expect(second.state).toBe('delayed');
    expect((await enqueuer.enqueue(spaced, { key: 'window', n: 3 })).id).toBe(second.id);
    expect(await sql('pace.spaced', { key: 'window', n: 4 })).toBe(second.id);
    expect((await enqueuer.enqueue(spaced, { key: 'another', n: 1 })).state).toBe('accepted');
    await finish(second);
    expect(numbersOf('window')).toEqual([1, 4]);
    const [first, last] = await database.query<{ due_at: Date }>(
      `SELECT due_at FROM treadle.finished_jobs WHERE name = 'pace.spaced' AND payload ->> 'key' = 'window' ORDER BY due_at`,
    );
    expect((last?.due_at.getTime() ?? 0) - (first?.due_at.getTime() ?? 0)).toBeGreaterThanOrEqual(599);
    // The window behind the second run is open as well, and no longer for those that joined it.
    const third = await enqueuer.enqueue(spaced, { key: 'window', n: 5 }, { throttleMs: 60_000 });
    expect(third.state).toBe('delayed');
    const dueAt = (await treadle.platform.jobs.find(third.id))?.dueAt.getTime() ?? 0;
    expect(dueAt - (last?.due_at.getTime() ?? 0)).toBeLessThanOrEqual(601);
  });

  test('who enqueues a key waits for a transaction that has it, and comes into its window', async () => {
    const { enqueuer, postgres } = treadle.platform;
    const options = { deduplicationKey: 'turn', throttleMs: 60_000 };
    const second = await postgres.transaction(async (tx) => {
      const first = await enqueuer.enqueue(plain, { key: 'turn', n: 1 }, { ...options, tx });
      const waiting = enqueuer.enqueue(plain, { key: 'turn', n: 2 }, options);
      const blocked = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      await expect.poll(() => database.query(blocked), { timeout: 10_000 }).toHaveLength(1);
      // As the relay does, which could be faster than whoever waits.
      await tx.query(`UPDATE treadle.jobs SET state = 'waiting', relayed_at = now() WHERE id = $1`, [first.id]);
      return { waiting };
    });
    expect((await second.waiting).state).toBe('delayed');
  });

  test('a key that was quiet for a window runs at once again', async () => {
    const { enqueuer } = treadle.platform;
    const options = { deduplicationKey: 'quiet', throttleMs: 50 };
    const first = await enqueuer.enqueue(plain, { key: 'quiet', n: 1 }, options);
    await finish(first);
    await expect
      .poll(async () => (await enqueuer.enqueue(plain, { key: 'quiet', n: 2 }, options)).state, {
        timeout: 5_000,
        interval: 120,
      })
      .toBe('accepted');
  });

  test('many callers at once make one run in each window, and the last of their changes runs', async () => {
    const { enqueuer, postgres } = treadle.platform;
    const options = { deduplicationKey: 'crowd', throttleMs: 400 };
    let n = 0;
    const call = async (): Promise<string> => {
      n += 1;
      const given = { key: 'crowd', n };
      if (n % 3 === 0) return sql('pace.plain', given, options);
      if (n % 3 === 1) return (await enqueuer.enqueue(plain, given, options)).id;
      return (await postgres.transaction((tx) => enqueuer.enqueue(plain, given, { ...options, tx }))).id;
    };
    const ids: string[] = [];
    for (let wave = 0; wave < 20; wave += 1) ids.push(...(await Promise.all(Array.from({ length: 15 }, call))));
    const last = await enqueuer.enqueue(plain, { key: 'crowd', n: 1_000 }, options);
    for (const id of new Set([...ids, last.id])) await finish({ id });
    expect(numbersOf('crowd').at(-1)).toBe(1_000);
    const due = await database.query<{ due_at: Date }>(
      `SELECT due_at FROM treadle.finished_jobs WHERE deduplication_key = 'crowd' ORDER BY due_at`,
    );
    expect(due.length).toBe(numbersOf('crowd').length);
    for (const [index, { due_at: at }] of due.slice(1).entries())
      expect(at.getTime() - (due[index]?.due_at.getTime() ?? 0)).toBeGreaterThanOrEqual(399);
  });

  test('a change that comes while its job runs becomes a job of its own', async () => {
    const { enqueuer } = treadle.platform;
    const running = await enqueuer.enqueue(held, { key: 'held', n: 1 });
    await expect.poll(() => numbersOf('held'), { timeout: 10_000 }).toEqual([1]);
    const next = await enqueuer.enqueue(held, { key: 'held', n: 2 });
    expect(next.id).not.toBe(running.id);
    letGo.resolve();
    await finish(next);
    expect(numbersOf('held')).toEqual([1, 2]);
  });

  test('what a transaction that rolls back enqueued neither puts off nor throttles', async () => {
    const { enqueuer, postgres } = treadle.platform;
    const options = { deduplicationKey: 'undone', throttleMs: 60_000 };
    const undone = postgres.transaction(async (tx) => {
      await enqueuer.enqueue(plain, { key: 'undone', n: 1 }, { ...options, tx });
      throw new Error('changed my mind');
    });
    await expect(undone).rejects.toThrow('changed my mind');
    expect((await enqueuer.enqueue(plain, { key: 'undone', n: 2 }, options)).state).toBe('accepted');
  });
};

describe('on Postgres', () => {
  suite();
});
describeWithRedis('on Redis', () => {
  suite(useRedis());
});
