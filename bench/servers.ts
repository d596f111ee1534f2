import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ownServer } from '../src/lib/embedded/own-server.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { findRedis } from '../test/services/redis-service.ts';
import { RedisServer } from '../test/services/redis-server.ts';
import { endsWithParent } from '../test/services/service.ts';

export interface BenchServers {
  readonly postgresUrl: string;
  /** Undefined where there is no Redis; what needs one is left out, and said. */
  readonly redisUrl: string | undefined;
  close(): Promise<void>;
}

/** Servers of the benchmark's own, in a temporary folder, gone afterwards. DATABASE_URL and REDIS_URL are not used: a benchmark may flush. */
export const startServers = async (): Promise<BenchServers> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-bench-'));
  const log = createLog({ level: 'warn' });
  const postgres = await ownServer({
    dataDir: folder,
    log,
    wrapper: endsWithParent(),
    // Four contestants with pools of their own.
    settings: { max_connections: '250' },
  });
  const found = await findRedis();
  const redis =
    'missing' in found || found.source.kind !== 'program' ? undefined : await RedisServer.start(found.source.program);
  if (!redis) console.error('bench: no redis-server: what needs Redis is left out');
  return {
    postgresUrl: postgres.url,
    redisUrl: redis?.url,
    close: async () => {
      await redis?.stop();
      await postgres.close();
      await fs.rm(folder, { recursive: true, force: true });
    },
  };
};

export type Backend = 'redis' | 'postgres';

export interface BackendServers extends BenchServers {
  readonly backend: Backend;
}

/** The servers once for each backend that is asked for and there; on Postgres without a Redis. */
export const backendsOf = (servers: BenchServers, asked: Backend | undefined): readonly BackendServers[] => {
  const all: readonly BackendServers[] = [
    { ...servers, backend: 'redis' },
    { ...servers, backend: 'postgres', redisUrl: undefined },
  ];
  return all.filter(
    ({ backend, redisUrl }) => (asked ?? backend) === backend && (backend === 'postgres' || redisUrl !== undefined),
  );
};
