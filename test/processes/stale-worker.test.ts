import { describe, expect, test } from 'vitest';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useDatabase } from '../services/database.ts';
import { RunningProcess } from './run-process.ts';

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const start = async (name: string, scheduler = '0'): Promise<RunningProcess> => {
    const worker = new RunningProcess('stubborn-worker.ts', {
      args: [name],
      env: {
        DATABASE_URL: database.url,
        REDIS_URL: redis?.url ?? '',
        LOG_LEVEL: 'fatal',
        SCHEDULER: scheduler,
        TREADLE_SHUTDOWN_GRACE_MS: '2000',
        TREADLE_QUEUES: 'things',
      },
    });
    expect(await worker.line()).toBe('ready');
    return worker;
  };
  const enqueue = async (ms: number): Promise<string> => {
    const [row] = await database.query<{ id: string }>(
      `SELECT treadle.enqueue('things.work', jsonb_build_object('ms', $1::int)) AS id`,
      [ms],
    );
    return row?.id ?? '';
  };
  const finished = (id: string) =>
    database.query('SELECT state::text, result, attempts_made FROM treadle.finished_jobs WHERE id = $1', [id]);
  const runsOf = (id: string) => database.query('SELECT worker FROM runs WHERE job_id = $1', [id]);

  test('a job of a worker that is killed, frozen or ending is run by another, and only one result counts', async () => {
    await database.query('CREATE TABLE runs (job_id uuid, worker text)');
    const first = await start('first', '1');

    // Frozen past its lock: the other one's result counts, the frozen one's is refused when it wakes.
    const frozen = await enqueue(500);
    expect(await first.line()).toBe('started');
    first.child.kill('SIGSTOP');
    const second = await start('second', '1');
    await expect
      .poll(() => finished(frozen), { timeout: 30_000 })
      .toEqual([{ state: 'completed', result: 'second', attempts_made: 1 }]);
    expect([await second.line(), await second.line()]).toEqual(['started', 'handler ended']);
    first.child.kill('SIGCONT');
    expect(await first.line()).toBe('handler ended');
    const after = await enqueue(0);
    await expect.poll(() => finished(after), { timeout: 15_000 }).toHaveLength(1);
    expect(await finished(frozen)).toEqual([{ state: 'completed', result: 'second', attempts_made: 1 }]);
    expect(await runsOf(frozen)).toEqual([{ worker: 'first' }, { worker: 'second' }]);
    expect(await first.end('SIGTERM')).toBe(0);

    // Killed in the middle.
    const killed = await enqueue(60_000);
    await expect.poll(() => runsOf(killed), { timeout: 15_000 }).toEqual([{ worker: 'second' }]);
    await second.end('SIGKILL');
    const third = await start('third', '1');
    await expect.poll(() => runsOf(killed), { timeout: 30_000 }).toEqual([{ worker: 'second' }, { worker: 'third' }]);

    // Ending in order: a handler that ignores its signal is given up after the grace, at no cost of an attempt.
    expect(await third.end('SIGTERM')).toBe(0);
    const fourth = await start('fourth', '1');
    await expect
      .poll(() => runsOf(killed), { timeout: 30_000 })
      .toEqual([{ worker: 'second' }, { worker: 'third' }, { worker: 'fourth' }]);
    expect(await database.query('SELECT attempts_made FROM treadle.jobs WHERE id = $1', [killed])).toEqual([
      { attempts_made: 0 },
    ]);
    expect(await fourth.end('SIGTERM')).toBe(0);
  });
};

describe('workers that go silent, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('workers that go silent, BullMQ on Redis', () => {
  suite(useRedis());
});
