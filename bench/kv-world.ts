import { Redis } from 'ioredis';
import { Pool } from 'pg';
import type { Kv } from '../src/lib/kv/kv.ts';
import { createLog, type Log } from '../src/lib/log/create-log.ts';
import { Postgres } from '../src/lib/postgres/postgres.ts';
import { RedisConnection } from '../src/lib/redis/redis-connection.ts';
import type { RedisScript } from '../src/lib/redis/redis-script.ts';
import { statementName } from '../src/lib/postgres/statement-name.ts';
import { migrateAll } from '../src/queues/migrations/migrate-all.ts';
import type { BenchServers } from './servers.ts';

/** Plain clients of the servers, and what Treadle keeps things with over the same servers. */
export interface KvWorld {
  readonly log: Log;
  readonly postgres: Postgres;
  readonly pg: Pool;
  readonly onPostgres: Kv;
  /** Undefined where there is no Redis. */
  readonly redis: { readonly plain: Redis; readonly kv: Kv } | undefined;
  close(): Promise<void>;
}

export const openKvWorld = async ({ postgresUrl: url, redisUrl }: BenchServers): Promise<KvWorld> => {
  const log = createLog({ level: 'warn' });
  await migrateAll(url, log);
  const postgres = new Postgres(
    { url, directUrl: url, poolSize: 20, statementTimeoutMs: 0, applicationName: 'bench' },
    log,
  );
  const pg = new Pool({ connectionString: url, max: 20 });
  const tls = { ca: undefined, cert: undefined, key: undefined };
  const connection =
    redisUrl === undefined ? undefined : new RedisConnection({ variable: 'REDIS_URL', url: redisUrl, tls }, log);
  const plain = redisUrl === undefined ? undefined : new Redis(redisUrl);
  return {
    log,
    postgres,
    pg,
    onPostgres: { backend: 'postgres', postgres },
    redis: connection && plain && { plain, kv: { backend: 'redis', redis: connection, postgres } },
    close: async () => {
      await connection?.close();
      plain?.disconnect();
      await pg.end();
      await postgres.close();
    },
  };
};

/** A prepared statement of a plain pool. */
export const ask = async (pg: Pool, text: string, values: unknown[]): Promise<readonly Record<string, unknown>[]> =>
  (await pg.query<Record<string, unknown>>({ name: statementName(text), text, values })).rows;

/** The script is known to the server once it was loaded. */
export const runLoaded = (
  redis: Redis,
  script: RedisScript,
  key: string,
  args: readonly (string | number)[],
): Promise<unknown> => redis.evalsha(script.sha, 1, key, ...args);
