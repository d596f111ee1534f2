import { Redis } from 'ioredis';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import { retryAfterMsOf } from '../../../src/lib/errors/retry-after.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { RateLimits, type RateLimiter } from '../../../src/lib/resilience/rate-limits.ts';
import { useDatabase } from '../../services/database.ts';
import { smallestAcl } from '../../services/redis-acl.ts';
import { RedisServer } from '../../services/redis-server.ts';
import { describeWithRedis, describeWithRedisProgram, useRedis, useRedisCluster } from '../../services/redis.ts';

const database = useDatabase();
const log = createLog({ level: 'silent' });
const opened: RateLimits[] = [];
afterEach(async () => {
  for (const limits of opened.splice(0)) await limits.close();
});

/** As another process of the same installation has them. */
const limitsAt = (redisUrl?: string): RateLimits => {
  const redis =
    redisUrl === undefined
      ? undefined
      : ({ variable: 'REDIS_URL', url: redisUrl, tls: { ca: undefined, cert: undefined, key: undefined } } as const);
  const limits = new RateLimits({ redis, postgres: database.postgres, log });
  opened.push(limits);
  return limits;
};

const rate = { max: 10, perSeconds: 60 };

/** How many of so many calls are let through. */
const taken = async (limiter: RateLimiter, key: string, times: number): Promise<number> => {
  const results = await Promise.allSettled(Array.from({ length: times }, () => limiter.take(key)));
  const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  for (const error of refused) expect(error).toMatchObject({ code: 'RATE_LIMITED', status: 429 });
  return times - refused.length;
};

const refusalOf = (limiter: RateLimiter, key: string): Promise<unknown> =>
  limiter.take(key).then(
    () => undefined,
    (error: unknown) => error,
  );

/** What holds wherever limits are counted. */
const sharedBehaviour = (redisUrl: () => string | undefined): void => {
  it('two processes share what a key may call, however they race', async () => {
    const [one, two] = [limitsAt(redisUrl()).limiter('race', rate), limitsAt(redisUrl()).limiter('race', rate)];
    const [byOne, byTwo] = await Promise.all([taken(one, 'k', 15), taken(two, 'k', 15)]);
    expect(byOne + byTwo).toBe(10);
    expect(await taken(one, 'k', 1)).toBe(0);
  });

  it('a key that has none left is told when it has more', async () => {
    const limiter = limitsAt(redisUrl()).limiter('told', { max: 1, perSeconds: 60 });
    await limiter.take('k');
    const error = await refusalOf(limiter, 'k');
    expect(error).toBeInstanceOf(AppError);
    expect(retryAfterMsOf(error)).toBeGreaterThan(50_000);
    expect(retryAfterMsOf(error)).toBeLessThanOrEqual(60_000);
  });

  it('keys, and limits of other names, do not touch each other', async () => {
    const limits = limitsAt(redisUrl());
    const [one, other] = [limits.limiter('one', rate), limits.limiter('other', { max: 3, perSeconds: 60 })];
    expect(await taken(one, 'a', 12)).toBe(10);
    expect(await taken(one, 'b', 12)).toBe(10);
    expect(await taken(other, 'a', 12)).toBe(3);
  });
};

describe('on Postgres', () => {
  sharedBehaviour(() => undefined);

  it('a key begins anew when its window is over', async () => {
    const limiter = limitsAt().limiter('window', { max: 2, perSeconds: 60 });
    expect(await taken(limiter, 'k', 3)).toBe(2);
    await database.query(`UPDATE treadle.rate_limits SET expire = expire - 60000 WHERE key LIKE '%window%'`);
    expect(await taken(limiter, 'k', 3)).toBe(2);
  });

  it('a process counts its own calls while Postgres refuses', async () => {
    const limiter = limitsAt().limiter('alone', { max: 2, perSeconds: 60 });
    await database.query('ALTER TABLE treadle.rate_limits RENAME TO rate_limits_away');
    try {
      expect(await taken(limiter, 'k', 5)).toBe(2);
    } finally {
      await database.query('ALTER TABLE treadle.rate_limits_away RENAME TO rate_limits');
    }
    expect(await taken(limiter, 'k', 5)).toBe(2);
    expect(await database.query(`SELECT points FROM treadle.rate_limits WHERE key LIKE '%alone%'`)).toEqual([
      { points: 5 },
    ]);
  });
});

describeWithRedis('on Redis', () => {
  const redis = useRedis();
  sharedBehaviour(() => redis.url);

  it('counts lie under the keys that a user of Redis may have, and pass with their window', async () => {
    await limitsAt(redis.url).limiter('where', rate).take('k');
    const keys = await redis.client.keys('*where*');
    expect(keys).toEqual(['{treadle:limits:where}:k']);
    const ttlMs = await redis.client.pttl(keys[0] ?? '');
    expect(ttlMs).toBeGreaterThan(0);
    expect(ttlMs).toBeLessThanOrEqual(60_000);
    expect(await database.query(`SELECT FROM treadle.rate_limits WHERE key LIKE '%where%'`)).toEqual([]);
  });
});

describeWithRedisProgram('on a Cluster, as the user that the documentation describes', (program) => {
  const cluster = useRedisCluster(program, smallestAcl);
  sharedBehaviour(() => cluster.url);
});

describeWithRedisProgram('a Redis that is gone', (program) => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start(program);
    return () => server.stop();
  });

  it('fails no call: each process counts its own, and all together again when it is back', async () => {
    const [one, two] = [limitsAt(server.url).limiter('gone', rate), limitsAt(server.url).limiter('gone', rate)];
    expect(await taken(one, 'k', 12)).toBe(10);
    expect(await taken(two, 'k', 1)).toBe(0);
    await server.kill();
    expect(await taken(one, 'k', 12)).toBe(10);
    expect(await taken(two, 'k', 12)).toBe(10);
    await server.run();
    const client = new Redis(server.url);
    let key = 0;
    const countedThere = async (): Promise<boolean> => {
      key += 1;
      await one.take(`key ${key}`);
      return (await client.exists(`{treadle:limits:gone}:key ${key}`)) === 1;
    };
    try {
      await vi.waitUntil(countedThere, { timeout: 20_000 });
    } finally {
      client.disconnect();
    }
  });

  it('fails no call when it hangs', async () => {
    const limiter = limitsAt(server.url).limiter('hangs', rate);
    await limiter.take('k');
    server.hang();
    expect(await taken(limiter, 'k', 12)).toBe(10);
    await server.kill();
    await server.run();
  });

  it('fails no call when it was never there', async () => {
    const limiter = limitsAt('redis://127.0.0.1:1').limiter('never', rate);
    expect(await taken(limiter, 'k', 12)).toBe(10);
  });
});
