import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { TcpProxy } from '../services/tcp-proxy.ts';
import { RunningProcess } from './run-process.ts';

const graceMs = 4_000;

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  let postgres: TcpProxy;
  beforeAll(async () => {
    postgres = new TcpProxy(database.url);
    await postgres.open();
    await database.query('CREATE TABLE runs (job_id uuid, worker text)');
    await database.query('CREATE TABLE effects (n integer)');
  });
  afterAll(() => postgres.close());

  const start = async (name: string): Promise<RunningProcess> => {
    const worker = new RunningProcess('stubborn-worker.ts', {
      args: [name],
      env: {
        DATABASE_URL: postgres.url,
        REDIS_URL: redis?.url ?? '',
        LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'fatal',
        SCHEDULER: '1',
        TREADLE_SHUTDOWN_GRACE_MS: String(graceMs),
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

  test.for([
    ['still runs', 60_000, [], []],
    ['ended meanwhile', 1_000, ['handler ended'], [{ state: 'completed', result: 'second', attempts_made: 1 }]],
  ] as const)('a worker ends in order while Postgres is away, with a job that %s', async ([, ms, lines, ending]) => {
    const worker = await start('first');
    const id = await enqueue(ms);
    expect(await worker.line()).toBe('started');
    await postgres.close();
    for (const line of lines) expect(await worker.line()).toBe(line);
    const begun = performance.now();
    expect(await worker.end('SIGTERM')).toBe(0);
    expect(performance.now() - begun).toBeLessThan(graceMs);

    await postgres.open();
    const successor = await start('second');
    await expect
      .poll(() => database.query(`SELECT FROM runs WHERE job_id = $1 AND worker = 'second'`, [id]), { timeout: 20_000 })
      .toHaveLength(1);
    await expect.poll(() => finished(id), { timeout: 20_000 }).toEqual(ending);
    expect(await successor.end('SIGTERM')).toBe(0);
    await database.query('DELETE FROM treadle.jobs');
  });

  const jobs = 500;
  const enqueueMany = async (): Promise<void> => {
    await database.query('TRUNCATE effects');
    await database.query(
      `SELECT treadle.enqueue('things.effect', jsonb_build_object('n', n)) FROM generate_series(1, $1) AS n`,
      [jobs],
    );
  };
  const effects = async (): Promise<number> => {
    const [row] = await database.query<{ effects: number }>('SELECT count(*)::int AS effects FROM effects');
    return row?.effects ?? 0;
  };
  const untilAllAreDone = async (): Promise<void> => {
    const open = () => database.query(`SELECT FROM treadle.jobs WHERE name = 'things.effect'`);
    await expect.poll(open, { timeout: 60_000, interval: 200 }).toEqual([]);
    expect(await effects()).toBe(jobs);
    expect(await database.query('SELECT FROM effects GROUP BY n HAVING count(*) > 1')).toEqual([]);
    const dead = `SELECT FROM treadle.finished_jobs WHERE name = 'things.effect' AND state <> 'completed'`;
    expect(await database.query(dead)).toEqual([]);
  };

  test('connections to Postgres that break under load lose no job and double no effect', async () => {
    const worker = await start('first');
    await enqueueMany();
    for (const share of [0.1, 0.3, 0.5]) {
      await expect.poll(effects, { timeout: 30_000, interval: 20 }).toBeGreaterThan(jobs * share);
      await postgres.close();
      await postgres.open();
    }
    await untilAllAreDone();
    expect(await worker.end('SIGTERM')).toBe(0);
  });

  test('a worker that is ended under load leaves its jobs to another, at no cost', async () => {
    const [begun] = await database.query<{ now: Date }>('SELECT now()');
    const [first, second] = [await start('first'), await start('second')];
    await enqueueMany();
    await expect.poll(effects, { timeout: 30_000, interval: 20 }).toBeGreaterThan(50);
    expect(await first.end('SIGTERM')).toBe(0);
    await untilAllAreDone();
    const failed = `SELECT FROM treadle.finished_jobs WHERE created_at >= $1 AND (failures <> '[]' OR attempts_made <> 1)`;
    expect(await database.query(failed, [begun?.now])).toEqual([]);
    expect(await second.end('SIGTERM')).toBe(0);
  });
};

describe('outages, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('outages, BullMQ on Redis', () => {
  suite(useRedis());
});
