import { afterAll, beforeAll, describe } from 'vitest';
import type { Kv } from '../../src/lib/kv/kv.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { RedisConnection } from '../../src/lib/redis/redis-connection.ts';
import { useDatabase, type TestDatabase } from './database.ts';
import { describeWithRedis, describeWithRedisProgram, useRedis, useRedisCluster } from './redis.ts';
import { smallestAcl } from './redis-acl.ts';

export interface TestKv {
  readonly database: TestDatabase;
  /** Readable from `beforeAll` on. */
  readonly kv: Kv;
  /** Another one to the same servers, as another process has it; closed after the block. */
  another(): Kv;
  /** The addresses of the servers of Redis, as a user who may do everything; none on Postgres. */
  readonly nodes: readonly string[];
}

const useKv = (
  database: TestDatabase,
  redis?: { readonly url: string; readonly nodes: () => readonly string[] },
): TestKv => {
  let kv: Kv | undefined;
  const opened: RedisConnection[] = [];
  const open = (): Kv => {
    const { postgres } = database;
    if (!redis) return { backend: 'postgres', postgres };
    const tls = { ca: undefined, cert: undefined, key: undefined };
    const connection = new RedisConnection(
      { variable: 'REDIS_URL', url: redis.url, tls },
      createLog({ level: 'silent' }),
    );
    opened.push(connection);
    return { backend: 'redis', redis: connection, postgres };
  };
  beforeAll(() => {
    kv = open();
  });
  afterAll(async () => {
    for (const connection of opened) await connection.close();
  });
  return {
    database,
    get kv() {
      if (!kv) throw new Error('the store of this block exists from beforeAll to afterAll');
      return kv;
    },
    another: open,
    get nodes() {
      return redis?.nodes() ?? [];
    },
  };
};

/** The same block on Postgres, on Redis and on a Redis Cluster of three nodes, as the user that docs/deployment.md describes. */
export const describeEachKv = (name: string, fn: (test: TestKv) => void): void => {
  describe(`${name}, on Postgres`, () => {
    fn(useKv(useDatabase()));
  });
  describeWithRedis(`${name}, on Redis`, () => {
    const database = useDatabase();
    const redis = useRedis();
    fn(
      useKv(database, {
        get url() {
          return redis.url;
        },
        nodes: () => [redis.url],
      }),
    );
  });
  describeWithRedisProgram(`${name}, on a Redis Cluster`, (program) => {
    const database = useDatabase();
    const redis = useRedisCluster(program, smallestAcl);
    fn(
      useKv(database, {
        get url() {
          return redis.url;
        },
        nodes: () => redis.cluster.nodes.map(({ url }) => url),
      }),
    );
  });
};
