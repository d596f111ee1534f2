import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis } from '../services/redis.ts';
import { TcpProxy } from '../services/tcp-proxy.ts';
import { useTreadle } from './use-treadle.ts';

const effect = defineJob({ name: 'things.effect', queue: 'things', payload: z.object({ n: z.number() }) });
const latest = defineJob({
  name: 'things.latest',
  queue: 'things',
  payload: z.object({ key: z.string(), text: z.string() }),
  deduplicateBy: ['key'],
});
const tidy = defineJob({ name: 'maintenance.tidy', queue: 'maintenance', payload: z.object({}) });

describeWithRedis('Redis away and back', () => {
  const database = useDatabase();
  const redis = useRedis();
  let proxy: TcpProxy;
  const texts: string[] = [];
  beforeAll(async () => {
    proxy = new TcpProxy(redis.url);
    await proxy.open();
    await database.query('CREATE TABLE effects (n integer)');
  });
  const treadle = useTreadle({
    database,
    redis: {
      get url() {
        return proxy.url;
      },
    },
    contracts: [effect, latest, tidy],
    queues: [defineQueue({ name: 'things', concurrency: 4, lockMs: 4_000 })],
    handlers: [
      handle(effect, ({ payload: { n }, platform, completeIn }) =>
        platform.postgres.transaction(async (tx) => {
          await tx.query('INSERT INTO effects (n) VALUES ($1)', [n]);
          return completeIn(tx, n);
        }),
      ),
      handle(latest, async ({ payload: { text } }) => {
        texts.push(text);
        return completed(text);
      }),
      handle(tidy, async () => completed('tidy')),
    ],
  });
  afterAll(() => proxy.close());

  test('jobs are accepted, cancelled and maintained meanwhile; afterwards each runs, the last change of it, once', async () => {
    const { enqueuer, jobs, queues } = treadle.platform;
    const done = async (): Promise<number> => {
      const [row] = await database.query<{ done: number }>('SELECT count(*)::int AS done FROM effects');
      return row?.done ?? 0;
    };
    const numbers = Array.from({ length: 300 }, (_, n) => ({ n }));
    const accepted = await enqueuer.enqueueMany(effect, numbers);
    await expect.poll(done, { timeout: 10_000 }).toBeGreaterThan(20);
    await proxy.close();

    const changed = await enqueuer.enqueue(latest, { key: 'k', text: 'first' });
    const maintained = await enqueuer.enqueue(tidy, {});
    expect(await jobs.wait(maintained.id, 10_000)).toMatchObject({ state: 'completed', result: 'tidy' });
    const [waiting] = (await jobs.list({ queue: 'things', state: 'waiting' }, { limit: 1 })).items;
    await jobs.cancel(waiting?.id ?? '');
    await queues.pause('things');
    await queues.resume('things');
    await enqueuer.enqueue(latest, { key: 'k', text: 'second' });
    await proxy.open();

    expect(await jobs.wait(changed.id, 20_000)).toMatchObject({ state: 'completed', result: 'second' });
    expect(texts.at(-1)).toBe('second');
    for (const { id } of accepted) expect((await jobs.wait(id, 20_000))?.finishedAt).not.toBeNull();
    const states = await database.query(
      `SELECT state::text, count(*)::int AS jobs FROM treadle.finished_jobs WHERE name = 'things.effect' GROUP BY state ORDER BY state`,
    );
    expect(states).toEqual([
      { state: 'cancelled', jobs: 1 },
      { state: 'completed', jobs: 299 },
    ]);
    expect(
      await database.query('SELECT count(*)::int AS rows, count(DISTINCT n)::int AS numbers FROM effects'),
    ).toEqual([{ rows: 299, numbers: 299 }]);
  });
});
