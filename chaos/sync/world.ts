import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { createPlatform, type Platform } from '../../src/platform.ts';
import { migrateAll } from '../../src/queues/migrations/migrate-all.ts';
import type { ElasticsearchServer } from '../../test/services/elasticsearch-server.ts';
import { PrivatePostgres } from '../../test/services/private-postgres.ts';
import { AppProcesses } from '../app/processes.ts';

/** What the oracle watches: two indexes, their tables, and two replicators as processes of their own. */
export interface SyncWorld {
  readonly url: string;
  /** A standby that commits wait for; undefined without one. */
  readonly standby: PrivatePostgres | undefined;
  readonly elasticsearch: ElasticsearchServer;
  readonly platform: Platform;
  readonly processes: AppProcesses;
  /** Logs of the replicators. */
  readonly folder: string;
  readonly query: <R extends Record<string, unknown>>(text: string, values?: unknown[]) => Promise<readonly R[]>;
  /** What the replicators wrote to their logs of the stream, of each process in its order. */
  told(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export interface SyncWorldOptions {
  readonly elasticsearch: ElasticsearchServer;
  /** Commits wait for a standby, and so reach the stream long before they can be seen. */
  readonly withStandby: boolean;
}

const workspaces = 3;

/** A large body lies outside of its row as it is, so that updates of the others leave it out of the stream. */
const createTables = `
  CREATE SCHEMA oracle;
  CREATE TABLE oracle.notes (team text NOT NULL, id integer NOT NULL, title text, body text, rank integer NOT NULL DEFAULT 0, PRIMARY KEY (team, id));
  ALTER TABLE oracle.notes ALTER COLUMN body SET STORAGE EXTERNAL;
  ALTER TABLE treadle.knowledge ALTER COLUMN content SET STORAGE EXTERNAL;
  INSERT INTO treadle.workspaces (id, name) SELECT md5('workspace ' || n)::uuid, 'oracle-' || n FROM generate_series(0, ${workspaces - 1}) AS n;
  INSERT INTO treadle.users (id, workspace_id, name)
    SELECT md5('author ' || n)::uuid, md5('workspace ' || n)::uuid, 'author ' || n FROM generate_series(0, ${workspaces - 1}) AS n;
  INSERT INTO treadle.tags (id, workspace_id, name)
    SELECT md5('tag ' || w || ' ' || n)::uuid, md5('workspace ' || w)::uuid, 'tag ' || n
    FROM generate_series(0, ${workspaces - 1}) AS w, generate_series(0, 9) AS n;
  -- One after the other, each with a look of its own: what was stored is read after what was confirmed, and only grows.
  CREATE FUNCTION oracle.positions(OUT confirmed pg_lsn, OUT stored pg_lsn, OUT sinks integer) LANGUAGE plpgsql VOLATILE AS $$
  BEGIN
    SELECT confirmed_flush_lsn INTO confirmed FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database();
    SELECT min(position), count(*) INTO stored, sinks FROM treadle.change_sinks WHERE NOT lacks_changes;
  END $$`;

const startPostgres = async (withStandby: boolean): Promise<{ primary: PrivatePostgres; replica?: PrivatePostgres }> =>
  withStandby ? PrivatePostgres.startPair() : { primary: await PrivatePostgres.start() };

/** From now on a commit is visible only once the standby has it, which calls itself by the name of its cluster. */
const awaitStandby = async (postgres: Postgres): Promise<void> => {
  await postgres.query(`ALTER SYSTEM SET synchronous_standby_names = 'treadle'`);
  await postgres.query('SELECT pg_reload_conf()');
};

/** Servers, tables and replicators; the indexes are built by `runOracle`. */
export const openWorld = async ({ elasticsearch, withStandby }: SyncWorldOptions): Promise<SyncWorld> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-sync-'));
  const { primary, replica } = await startPostgres(withStandby);
  const log = createLog({ level: 'silent' });
  const { url } = primary;
  await migrateAll(url, log);
  const env = {
    DATABASE_URL: url,
    ELASTICSEARCH_URL: elasticsearch.url,
    ELASTICSEARCH_PREFIX: `sync-${Date.now().toString(36)}-`,
    TREADLE_INDEXES: path.join(import.meta.dirname, 'indexes.ts'),
    TREADLE_QUEUE_BACKEND: 'postgres',
  };
  // Not called as Treadle's connections are, which are cut.
  const postgres = new Postgres(
    { url, directUrl: url, poolSize: 4, statementTimeoutMs: 120_000, applicationName: 'oracle' },
    log,
  );
  await postgres.query(createTables);
  if (replica) await awaitStandby(postgres);
  const database = { url, directUrl: url, embedded: false, close: () => Promise.resolve() };
  const platform = await createPlatform(loadConfig(env), log, database);
  const processes = new AppProcesses(folder, { replicator: 2 }, { ...env, LOG_LEVEL: 'info' });
  await processes.replenish();
  return {
    url,
    standby: replica,
    elasticsearch,
    platform,
    processes,
    folder,
    query: async <R extends Record<string, unknown>>(text: string, values?: unknown[]) =>
      (await postgres.query<R>(text, values)).rows,
    told: async () => {
      const files = await fs.readdir(folder);
      const texts = await Promise.all(files.map((file) => fs.readFile(path.join(folder, file), 'utf8')));
      return texts.flatMap((text) => text.split('\n').filter((line) => line.includes('"event":"changes.')));
    },
    close: async () => {
      processes.killAll();
      await platform.close();
      await postgres.close();
      await replica?.remove();
      await primary.remove();
      await fs.rm(folder, { recursive: true, force: true });
    },
  };
};
