import { Client } from 'pg';
import { createLog } from '../../src/lib/log/create-log.ts';
import { migrateAll } from '../../src/queues/migrations/migrate-all.ts';

const databaseAt = (url: string, name: string): string => {
  const parsed = new URL(url);
  parsed.pathname = `/${name}`;
  return parsed.href;
};

const withAdmin = async <T>(url: string, fn: (admin: Client) => Promise<T>): Promise<T> => {
  const admin = new Client({ connectionString: url, application_name: 'treadle-tests' });
  await admin.connect();
  try {
    return await fn(admin);
  } finally {
    await admin.end();
  }
};

const uniqueName = (kind: string): string =>
  `treadle_${kind}_${process.pid}_${Math.random().toString(36).slice(2, 10)}`;

/** Makes a migrated database to clone from; answers its name. */
export const createTemplate = async (url: string): Promise<string> => {
  const name = uniqueName('template');
  await withAdmin(url, (admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE template0`));
  await migrateAll(databaseAt(url, name), createLog({ level: 'warn' }));
  await withAdmin(url, (admin) => admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`));
  return name;
};

/** A database of a test's own: a clone of `template`, or empty with `template0`. Answers its URL. */
export const createDatabase = async (url: string, template: string): Promise<string> => {
  const name = uniqueName('test');
  // Copying files takes half as long as writing all of it to the WAL, where data need not reach the disk.
  await withAdmin(url, (admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY FILE_COPY`));
  return databaseAt(url, name);
};

export const dropDatabase = async (url: string, name: string): Promise<void> => {
  await withAdmin(url, (admin) =>
    // A database whose changes somebody could still read can't be dropped.
    admin.query(
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active`,
      [name],
    ),
  );
  await withAdmin(url, (admin) => admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
};

const nameOf = (databaseUrl: string): string => new URL(databaseUrl).pathname.slice(1);

/** Drops the database, and answers who was still connected to it after two seconds (there should be nobody). */
export const dropDatabaseAt = async (url: string, databaseUrl: string): Promise<readonly string[]> => {
  const name = nameOf(databaseUrl);
  const left = await withAdmin(url, async (admin) => {
    for (const deadline = Date.now() + 2_000; ;) {
      const { rows } = await admin.query<{ who: string }>(
        `SELECT format('%s (%s: %s)', application_name, state, left(query, 60)) AS who FROM pg_stat_activity
         WHERE datname = $1 AND backend_type IN ('client backend', 'walsender')`,
        [name],
      );
      if (rows.length === 0 || Date.now() > deadline) return rows.map((row) => row.who);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
  await dropDatabase(url, name);
  return left;
};
