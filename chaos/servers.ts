import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { ownServer, type OwnedServer } from '../src/lib/embedded/own-server.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { findRedisProgram } from '../test/services/redis-program.ts';
import { RedisServer } from '../test/services/redis-server.ts';
import { endsWithParent } from '../test/services/service.ts';
import { TcpProxy } from '../test/services/tcp-proxy.ts';
import { createTemplate } from '../test/services/template-database.ts';

export type Backend = 'redis' | 'postgres';

/** Redis, and the proxy through which the app reaches it. */
export interface ChaosRedis {
  readonly server: RedisServer;
  readonly proxy: TcpProxy;
  flush(): Promise<void>;
}

/** Servers of the suite's own, in a temporary folder: it kills them. DATABASE_URL and REDIS_URL are never used. */
export interface ChaosServers {
  readonly postgres: OwnedServer;
  /** A migrated database to clone. */
  readonly template: string;
  /** Undefined where there is no redis-server. */
  readonly redis: ChaosRedis | undefined;
  /** Logs of the app's processes; kept when a case failed. */
  readonly folder: string;
  close(keepFolder: boolean): Promise<void>;
}

/** What a server acknowledges has to be there after a crash of its process; a crash of the machine is not tried. */
const settings = { fsync: 'off', max_connections: '300' };

const startRedis = async (): Promise<ChaosRedis | undefined> => {
  const found = await findRedisProgram();
  if (!found) return undefined;
  const server = await RedisServer.start(found.program);
  const proxy = new TcpProxy(server.url);
  await proxy.open();
  const flush = async (): Promise<void> => {
    const client = new Redis(server.url);
    await client.flushall();
    client.disconnect();
  };
  return { server, proxy, flush };
};

/** Starts Postgres, and Redis where there is a redis-server. */
export const startServers = async (): Promise<ChaosServers> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-chaos-'));
  // Postgres may run as another user.
  await fs.chmod(folder, 0o755);
  const dataDir = path.join(folder, 'postgres');
  await fs.mkdir(dataDir, { mode: 0o755 });
  const log = createLog({ level: 'silent' });
  const postgres = await ownServer({ dataDir, log, settings, wrapper: endsWithParent() });
  const redis = await startRedis();
  const template = await createTemplate(postgres.url);
  return {
    postgres,
    template,
    redis,
    folder,
    close: async (keepFolder) => {
      await redis?.proxy.close();
      await redis?.server.stop();
      await postgres.close();
      await fs.rm(keepFolder ? dataDir : folder, { recursive: true, force: true });
    },
  };
};
