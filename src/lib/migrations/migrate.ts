import type pg from 'pg';
import { AppError, validationError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import type { Log } from '../log/create-log.ts';
import { checkMigration, hazardFaults } from './ddl/check-migration.ts';
import { migrationsFolder, readMigrationFiles, type MigrationFile } from './migration-files.ts';
import { migrationStatus, refuseForeignHistory, type MigrationRecord } from './migration-status.ts';
import { retryOnLockTimeout } from './with-migration-lock.ts';

/** The tables that migrations are recorded in. */
export const prepareTables = async (client: pg.Client): Promise<void> => {
  const { rows } = await client.query<{ present: boolean }>(
    `SELECT to_regclass('treadle.migration_checksums') IS NOT NULL AS present`,
  );
  if (rows[0]?.present) return;
  await client.query(`
    CREATE SCHEMA IF NOT EXISTS treadle;
    CREATE TABLE IF NOT EXISTS treadle.migration_checksums (name text PRIMARY KEY, sha256 text NOT NULL)`);
};

const failure = (name: string, error: unknown): AppError =>
  new AppError(
    'INTERNAL_ERROR',
    `migration ${name} failed and was rolled back: ${error instanceof Error ? error.message : 'unknown error'}`,
    {},
    { cause: error },
  );

/** Runs the next migration in its own transaction, on the caller's connection. */
const runNext = async (
  client: pg.Client,
  log: Log,
  direction: 'up' | 'down',
  name: string,
  folder: string,
): Promise<void> => {
  const { runner } = await import('node-pg-migrate');
  const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  await retryOnLockTimeout(log, name, async () => {
    try {
      await runner({
        dbClient: client,
        dir: folder,
        direction,
        count: 1,
        migrationsTable: 'migrations',
        migrationsSchema: 'treadle',
        singleTransaction: false,
        noLock: true,
        logger: silent,
      });
    } catch (error) {
      await client.query('ROLLBACK');
      throw codeOf(error) === '55P03' ? error : failure(name, error);
    }
  });
};

const warnOfChanges = (records: readonly MigrationRecord[], log: Log): void => {
  const changed = records.filter((record) => record.state === 'changed').map((record) => record.name);
  if (changed.length > 0) log.warn({ event: 'migrations.changed', changed });
};

/**
 * The files that are not applied yet, in order.
 * @throws AppError SCHEMA_MISMATCH for a database that is newer than the code.
 */
export const pendingFiles = async (
  client: pg.Client,
  log: Log,
  folder = migrationsFolder,
): Promise<readonly MigrationFile[]> => {
  const records = await migrationStatus(client, folder);
  refuseForeignHistory(records);
  warnOfChanges(records, log);
  const pending = new Set(records.filter((record) => record.state === 'pending').map((record) => record.name));
  return (await readMigrationFiles(folder)).filter((file) => pending.has(file.name));
};

const refuseLongLocks = async (client: pg.Client, files: readonly MigrationFile[]): Promise<void> => {
  for (const { name, text } of files) {
    const hazards = await checkMigration(text, client);
    if (hazards.length === 0) continue;
    throw validationError(`migration ${name}`, [
      ...hazardFaults(hazards),
      {
        path: '',
        message: 'nothing was applied; to apply it all the same, at a quiet time: treadle migrate up --allow-locks',
      },
    ]);
  }
};

export interface MigrateUpOptions {
  /** Run also what keeps a large table from its users for long. */
  readonly allowLocks?: boolean;
}

/**
 * Applies every pending migration, each in a transaction of its own, and answers their names. Call it under
 * {@link withMigrationLock}.
 * @throws AppError SCHEMA_MISMATCH for a database that is newer than the code; VALIDATION_ERROR, before anything is
 * applied, naming the lines that would lock a large table for long; INTERNAL_ERROR naming the migration that failed,
 * those before it stay applied.
 */
export const migrateUp = async (
  client: pg.Client,
  log: Log,
  folder = migrationsFolder,
  { allowLocks = false }: MigrateUpOptions = {},
): Promise<readonly string[]> => {
  const files = await pendingFiles(client, log, folder);
  if (files.length === 0) return [];
  if (!allowLocks) await refuseLongLocks(client, files);
  await prepareTables(client);
  for (const { name, sha256 } of files) {
    // Written first: a checksum without its migration is harmless, and replaced by the next try.
    await client.query(
      `INSERT INTO treadle.migration_checksums (name, sha256) VALUES ($1, $2)
       ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256`,
      [name, sha256],
    );
    await runNext(client, log, 'up', name, folder);
    log.info({ event: 'migrations.applied', migration: name });
  }
  return files.map((file) => file.name);
};

/**
 * Takes back the last `count` migrations and answers their names, the latest first. Call it under
 * {@link withMigrationLock}.
 * @throws AppError SCHEMA_MISMATCH for a database that is newer than the code; INTERNAL_ERROR naming the one that failed.
 */
export const migrateDown = async (
  client: pg.Client,
  log: Log,
  count: number,
  folder = migrationsFolder,
): Promise<readonly string[]> => {
  const records = await migrationStatus(client, folder);
  refuseForeignHistory(records);
  warnOfChanges(records, log);
  const names = records
    .filter((record) => record.state !== 'pending')
    .map((record) => record.name)
    .toReversed()
    .slice(0, count);
  for (const name of names) {
    await runNext(client, log, 'down', name, folder);
    await client.query('DELETE FROM treadle.migration_checksums WHERE name = $1', [name]);
    log.info({ event: 'migrations.taken-back', migration: name });
  }
  return names;
};
