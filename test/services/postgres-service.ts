import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ownServer } from '../../src/lib/embedded/own-server.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { startInDocker } from './docker.ts';
import { endsWithParent, type Service } from './service.ts';

/** Data that is thrown away need not reach the disk. */
const hasty = { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', max_connections: '300' };

const startEmbedded = async (): Promise<Service> => {
  const dataDir = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-test-'));
  await fs.chmod(dataDir, 0o755);
  const remove = (): Promise<void> => fs.rm(dataDir, { recursive: true, force: true });
  try {
    const log = createLog({ level: 'error', name: 'test-postgres' });
    const server = await ownServer({ dataDir, log, settings: hasty, wrapper: endsWithParent() });
    const stop = async (): Promise<void> => {
      await server.close();
      await remove();
    };
    return { url: server.url, origin: 'the embedded Postgres', stop };
  } catch (error) {
    await remove();
    throw error;
  }
};

const inDocker = (): Promise<Service | undefined> =>
  startInDocker({
    service: 'postgres',
    port: 5_432,
    environment: { POSTGRES_USER: 'treadle', POSTGRES_PASSWORD: 'treadle', POSTGRES_DB: 'treadle' },
    command: ['postgres', '-c', 'wal_level=logical', '-c', 'fsync=off', '-c', 'max_connections=300'],
    ready: ['pg_isready', '--host=127.0.0.1', '--username=treadle', '--dbname=treadle'],
    url: (address) => `postgres://treadle:treadle@${address}/treadle`,
  });

/**
 * DATABASE_URL, else the embedded server, else Docker.
 * @throws Error with the line that would provide it where there is none: hardly a test runs without Postgres.
 */
export const findPostgres = async (): Promise<Service> => {
  const url = process.env['DATABASE_URL'];
  if (url) return { url, origin: `DATABASE_URL (${new URL(url).host})`, stop: () => Promise.resolve() };
  try {
    return await startEmbedded();
  } catch (error) {
    const container = await inDocker();
    if (container) return container;
    throw new Error('there is no Postgres: set DATABASE_URL to one, 15 or newer, whose user may create databases', {
      cause: error,
    });
  }
};
