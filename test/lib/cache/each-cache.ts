import { afterEach, describe } from 'vitest';
import type { CacheManager } from '../../../src/lib/cache/cache-manager.ts';
import type { CacheSettingsInput } from '../../../src/lib/cache/cache-settings.ts';
import { createCache } from '../../../src/lib/cache/create-cache.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Subscription } from '../../../src/lib/postgres/subscription.ts';
import { useDatabase, type TestDatabase } from '../../services/database.ts';
import { describeWithRedis, describeWithRedisProgram, useRedis, useRedisCluster } from '../../services/redis.ts';
import { smallestAcl } from '../../services/redis-acl.ts';

export interface TestCaches {
  readonly database: TestDatabase;
  readonly hasRedis: boolean;
  /** A cache of another process: with memory and connections of its own. Closed after the test. */
  open(settings?: CacheSettingsInput, prefix?: string): Promise<CacheManager>;
}

const tls = { ca: undefined, cert: undefined, key: undefined };
const log = createLog({ level: 'silent' });

export const useCaches = (
  database: TestDatabase,
  redis?: { readonly url: string },
  bus?: 'redis' | 'notify',
): TestCaches => {
  const opened: (() => Promise<void>)[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((close) => close()));
  });
  return {
    database,
    hasRedis: redis !== undefined,
    open: async (settings = {}, prefix = 'test') => {
      const subscription = new Subscription(database.postgres, log);
      const cache = createCache(
        {
          redis: redis && { variable: 'REDIS_CACHE_URL', url: redis.url, tls },
          postgres: database.postgres,
          subscription,
          log,
          prefix,
          beatMs: 200,
          ...(bus ? { bus } : {}),
        },
        settings,
      );
      opened.push(async () => {
        await cache.close();
        await subscription.close();
      });
      await cache.initialize(settings);
      return cache;
    },
  };
};

/** The same block in memory alone, with Redis, with Redis and NOTIFY, and on a Cluster as the user of docs/deployment.md. */
export const describeEachCache = (name: string, fn: (caches: TestCaches) => void): void => {
  describe(`${name}, in memory with NOTIFY`, () => {
    fn(useCaches(useDatabase()));
  });
  describeWithRedis(`${name}, on Redis`, () => {
    const database = useDatabase();
    fn(useCaches(database, useRedis()));
  });
  describeWithRedis(`${name}, on Redis with NOTIFY`, () => {
    const database = useDatabase();
    fn(useCaches(database, useRedis(), 'notify'));
  });
  describeWithRedisProgram(`${name}, on a Redis Cluster`, (program) => {
    const database = useDatabase();
    fn(useCaches(database, useRedisCluster(program, smallestAcl)));
  });
};

/** A promise, and how to settle it. */
export const gate = (): { readonly opened: Promise<void>; readonly open: () => void } => {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
};
