import fs from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../src/platform.ts';
import { createDatabase } from '../../test/services/template-database.ts';
import type { Backend, ChaosServers } from '../servers.ts';
import type { Size } from '../sizes.ts';
import { queues } from './jobs.ts';
import { AppProcesses } from './processes.ts';

/** The app on one backend: its database, its processes, and the platform by which this process enqueues and cancels. */
export interface ChaosApp {
  readonly backend: Backend;
  readonly servers: ChaosServers;
  readonly processes: AppProcesses;
  readonly platform: Platform;
  /** Also waits out a Postgres that is away. */
  readonly query: <R extends Record<string, unknown>>(text: string, values?: unknown[]) => Promise<readonly R[]>;
  /** Empties what the case before left. */
  clear(): Promise<void>;
  /** How often the app's processes wrote this event to their logs. */
  countEvents(event: string): Promise<number>;
  close(): Promise<void>;
}

export interface AppOptions extends Pick<Size, 'lockMs' | 'workers' | 'concurrency'> {
  readonly backend: Backend;
}

const graceMs = 6_000;
const patienceMs = 60_000;

const createTables = `
  CREATE SCHEMA chaos;
  CREATE TABLE chaos.expected (job_id uuid PRIMARY KEY, key text NOT NULL UNIQUE, kind text NOT NULL, cancelled boolean NOT NULL DEFAULT false);
  CREATE TABLE chaos.runs (job_id uuid NOT NULL, worker text NOT NULL);
  CREATE INDEX ON chaos.runs (job_id);
  CREATE TABLE chaos.effects (key text NOT NULL, worker text NOT NULL);
  CREATE INDEX ON chaos.effects (key)`;

/** Runs `work` again until it succeeds, for what is asked of a server that may be away. @throws what it threw last. */
export const untilAnswered = async <T>(work: () => Promise<T>): Promise<T> => {
  for (const deadline = Date.now() + patienceMs; ; await delay(100)) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
};

export const openApp = async (servers: ChaosServers, options: AppOptions): Promise<ChaosApp> => {
  const { backend, lockMs, workers, concurrency } = options;
  const url = await createDatabase(servers.postgres.url, servers.template);
  const redisUrl = backend === 'redis' ? (servers.redis?.proxy.url ?? '') : '';
  const folder = await fs.mkdtemp(path.join(servers.folder, `${backend}-`));
  const env = {
    DATABASE_URL: url,
    REDIS_URL: redisUrl,
    TREADLE_SHUTDOWN_GRACE_MS: String(graceMs),
    TREADLE_JOBS: path.join(import.meta.dirname, 'jobs.ts'),
  };
  const log = createLog({ level: 'silent' });
  const database = { url, directUrl: url, embedded: false, close: () => Promise.resolve() };
  const platform = await createPlatform(loadConfig(env), log, database);
  const processes = new AppProcesses(
    folder,
    { worker: workers, scheduler: 2 },
    {
      ...env,
      LOG_LEVEL: 'info',
      TREADLE_QUEUES: queues.map(({ name }) => name).join(','),
      TREADLE_CONCURRENCY: String(concurrency),
      CHAOS_LOCK_MS: String(lockMs),
    },
  );
  const query = async <R extends Record<string, unknown>>(text: string, values?: unknown[]): Promise<readonly R[]> =>
    (await untilAnswered(() => platform.postgres.query<R>(text, values))).rows;
  await platform.postgres.query(createTables);
  return {
    backend,
    servers,
    processes,
    platform,
    query,
    clear: async () => {
      await query(`DELETE FROM treadle.schedules WHERE name LIKE 'every-second-%'`);
      await query('TRUNCATE treadle.finished_jobs, treadle.schedule_fires, chaos.expected, chaos.runs, chaos.effects');
    },
    countEvents: async (event) => {
      const files = await fs.readdir(folder);
      const texts = await Promise.all(files.map((file) => fs.readFile(path.join(folder, file), 'utf8')));
      return texts.reduce((sum, text) => sum + text.split(`"event":"${event}"`).length - 1, 0);
    },
    close: async () => {
      processes.killAll();
      await platform.close();
    },
  };
};
