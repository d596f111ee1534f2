import { afterAll, beforeAll, expect, test } from 'vitest';
import { KeyService } from '../../src/domain/access/service.ts';
import { LoopWatch } from '../../src/lib/health/loop-watch.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { startHealthServer } from '../../src/workers/health-server.ts';
import { startProcessBeat } from '../../src/workers/process-beat.ts';
import { useTreadle } from '../queues/use-treadle.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis } from '../services/redis.ts';
import { TcpProxy } from '../services/tcp-proxy.ts';

interface Liveness {
  readonly status: string;
  readonly loops: readonly { readonly name: string; readonly alive: boolean }[];
}

/** What an operator would wait for a minute for: the watch's clock is put forward by as much. */
const minuteMs = 61_000;

describeWithRedis('the liveness of a process', () => {
  const database = useDatabase();
  const redis = useRedis();
  let postgresProxy: TcpProxy;
  let redisProxy: TcpProxy;
  let aheadMs = 0;
  beforeAll(async () => {
    postgresProxy = new TcpProxy(database.url);
    redisProxy = new TcpProxy(redis.url);
    await Promise.all([postgresProxy.open(), redisProxy.open()]);
  });
  // Runs last, when what uses them is closed.
  afterAll(() => Promise.all([postgresProxy.close(), redisProxy.close()]));
  const treadle = useTreadle({
    database: {
      get url() {
        return postgresProxy.url;
      },
    },
    redis: {
      get url() {
        return redisProxy.url;
      },
    },
    contracts: [],
    queues: [defineQueue({ name: 'held', lockMs: 1_000 })],
    handlers: [],
    loops: new LoopWatch(() => performance.now() + aheadMs),
  });
  const closers: (() => Promise<void>)[] = [];
  let url = '';
  beforeAll(async () => {
    const { platform } = treadle;
    const beat = await startProcessBeat(platform, ['worker', 'scheduler']);
    const keys = new KeyService(platform.postgres, []);
    const server = await startHealthServer({ ...platform, keys }, { host: '127.0.0.1', port: 0 });
    url = server.url;
    closers.push(
      () => beat.close(),
      () => server.close(),
    );
  });
  afterAll(async () => {
    postgresProxy.thaw();
    redisProxy.thaw();
    for (const close of closers.toReversed()) await close();
  });
  const look = async (): Promise<{ readonly status: number; readonly stuck: readonly string[] }> => {
    const answer = await fetch(`${url}/health/live`);
    const { loops } = (await answer.json()) as Liveness;
    return { status: answer.status, stuck: loops.filter(({ alive }) => !alive).map(({ name }) => name) };
  };
  const aMinuteLater = (): void => {
    aheadMs += minuteMs;
  };
  const whole = { status: 200, stuck: [] };

  test('is lost when a connection to Postgres hangs, by the names of the loops that stand still; and comes back', async () => {
    expect(await look()).toEqual(whole);
    postgresProxy.freeze();
    const hanging = expect.arrayContaining(['relay', 'schedules', 'process', 'fetch maintenance']);
    // An answer that was on its way may still come, and its loop turn once more.
    const stuckALittleLater = async (): Promise<readonly string[]> => {
      aMinuteLater();
      return (await look()).stuck;
    };
    await expect.poll(stuckALittleLater, { timeout: 10_000 }).toEqual(hanging);
    await expect.poll(async () => (await look()).stuck, { timeout: 10_000 }).not.toContain('locks held');
    expect(await look()).toEqual({ status: 503, stuck: hanging });
    postgresProxy.thaw();
    await expect.poll(look, { timeout: 20_000 }).toEqual(whole);
  });

  test('is lost when the fetch from Redis hangs, and kept while Redis is away', async () => {
    redisProxy.freeze();
    aMinuteLater();
    // By then a fetch that turns would have turned.
    await expect.poll(async () => (await look()).stuck, { timeout: 20_000 }).not.toContain('process');
    expect(await look()).toEqual({ status: 503, stuck: expect.arrayContaining(['fetch default', 'fetch held']) });
    redisProxy.thaw();
    await redisProxy.close();
    aMinuteLater();
    await expect.poll(async () => (await look()).stuck, { timeout: 20_000 }).not.toContain('fetch held');
    await redisProxy.open();
  });

  test('does not depend on processes that are gone: they are forgotten', async () => {
    await database.query(
      `INSERT INTO treadle.processes (id, roles, host, pid, beat_at) VALUES ('gone', '{worker}', 'host', 1, now() - interval '11 minutes')`,
    );
    const known = () => database.query(`SELECT FROM treadle.processes WHERE id = 'gone'`);
    await expect.poll(known, { timeout: 10_000 }).toEqual([]);
    expect(await database.query('SELECT FROM treadle.processes')).toHaveLength(1);
  });
});
