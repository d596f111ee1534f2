import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../src/platform.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { RunningProcess } from './run-process.ts';

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  let platform: Platform;
  beforeAll(async () => {
    await database.query('CREATE TABLE effects (n integer)');
    const env = { DATABASE_URL: database.url, REDIS_URL: redis?.url ?? '', LOG_LEVEL: 'silent' };
    const { url } = database;
    platform = await createPlatform(
      loadConfig(env),
      createLog({ level: 'silent' }),
      { url, directUrl: url, embedded: false, close: () => Promise.resolve() },
      { queues: [defineQueue({ name: 'things', lockMs: 2_000 })] },
    );
  });
  afterAll(() => platform.close());

  const start = async (name: string): Promise<RunningProcess> => {
    const worker = new RunningProcess('stubborn-worker.ts', {
      args: [name],
      env: {
        DATABASE_URL: database.url,
        REDIS_URL: redis?.url ?? '',
        LOG_LEVEL: 'fatal',
        SCHEDULER: '1',
        TREADLE_SHUTDOWN_GRACE_MS: '2000',
        TREADLE_QUEUES: 'things',
      },
    });
    expect(await worker.line()).toBe('ready');
    return worker;
  };
  const enqueue = async (beforeMs: number, afterMs: number): Promise<string> => {
    const [row] = await database.query<{ id: string }>(
      `SELECT treadle.enqueue('things.careful', jsonb_build_object('beforeMs', $1::int, 'afterMs', $2::int)) AS id`,
      [beforeMs, afterMs],
    );
    return row?.id ?? '';
  };
  const effects = (): Promise<unknown[]> => database.query('SELECT n FROM effects');
  const answer = (id: string) => platform.jobs.wait(id, 30_000);

  test('an effect in the transaction that completes its job happens once, whatever becomes of the worker', async () => {
    // Killed between the commit and the word to the queue: the next worker calls no handler.
    const first = await start('first');
    const committed = await enqueue(0, 60_000);
    expect([await first.line(), await first.line()]).toEqual(['inserted', 'over']);
    await first.end('SIGKILL');
    expect(await answer(committed)).toMatchObject({ state: 'completed', result: 'first' });
    const second = await start('second');
    const things = await platform.transports.of('things');
    await expect.poll(async () => (await things.known([committed])).size, { timeout: 30_000 }).toBe(0);
    expect(await effects()).toHaveLength(1);

    // Frozen past its lock inside the transaction: another attempt completes, and the late one rolls back.
    const frozen = await enqueue(600, 0);
    expect(await second.line()).toBe('inserted');
    second.child.kill('SIGSTOP');
    const third = await start('third');
    expect([await third.line(), await third.line()]).toEqual(['inserted', 'over']);
    second.child.kill('SIGCONT');
    expect(await second.line()).toBe('over');
    expect(await answer(frozen)).toMatchObject({ state: 'completed', result: 'third', attemptsMade: 1 });
    expect(await effects()).toHaveLength(2);
    expect([await second.end('SIGTERM'), await third.end('SIGTERM')]).toEqual([0, 0]);
    expect(await effects()).toHaveLength(2);
  });
};

describe('effects that must happen once, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('effects that must happen once, BullMQ on Redis', () => {
  suite(useRedis());
});
