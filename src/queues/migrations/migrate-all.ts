import type pg from 'pg';
import { AppError } from '../../lib/errors/app-error.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { backUp } from '../../lib/backup/back-up.ts';
import { migrateDown, migrateUp, type MigrateUpOptions } from '../../lib/migrations/migrate.ts';
import { migrationStatus, refuseForeignHistory, type MigrationRecord } from '../../lib/migrations/migration-status.ts';
import { tryMigrations, type MigrationTrial } from '../../lib/migrations/try-migrations.ts';
import { retryOnLockTimeout, withMigrationLock } from '../../lib/migrations/with-migration-lock.ts';
import { connectDirect } from '../../lib/postgres/pool.ts';
import { publishContracts, type JobRegistry } from '../job-registry.ts';
import { expectedPgBossVersion, migratePgBoss, pgBossVersion } from '../maintenance/pg-boss-schema.ts';
import { bullmqVersion, expectedBullmqVersion, migrateBullmq } from './bullmq-schema.ts';

/** Of a library's schema: the version in the database (0 for none) and the one its code works with. */
export interface LibrarySchema {
  readonly version: number;
  readonly expected: number;
}

export interface SchemaStatus {
  readonly migrations: readonly MigrationRecord[];
  readonly bullmq: LibrarySchema;
  readonly pgBoss: LibrarySchema;
  /** Nothing is pending. */
  readonly upToDate: boolean;
}

const readStatus = async (client: pg.Client): Promise<SchemaStatus> => {
  const migrations = await migrationStatus(client);
  const bullmq = { version: await bullmqVersion(client), expected: expectedBullmqVersion };
  const pgBoss = { version: await pgBossVersion(client), expected: expectedPgBossVersion() };
  const upToDate =
    migrations.every((record) => record.state !== 'pending') &&
    bullmq.version >= bullmq.expected &&
    pgBoss.version >= pgBoss.expected;
  return { migrations, bullmq, pgBoss, upToDate };
};

/** What is applied and what is pending, of Treadle's schema and of its libraries'. Changes nothing and takes no lock. */
export const statusAll = async (directUrl: string): Promise<SchemaStatus> => {
  const client = await connectDirect(directUrl, 'treadle:migrations');
  try {
    return await readStatus(client);
  } finally {
    await client.end();
  }
};

export interface MigrateAllOptions extends MigrateUpOptions {
  /** Called before anything is changed, if something will be, while no other process migrates. */
  readonly beforeChanges?: () => Promise<void>;
}

/**
 * Brings Treadle's schema and those of BullMQ and pg-boss up to date, one process at a time, and answers what was
 * applied (`bullmq` and `pgboss` beside the names of migrations).
 * @throws AppError SCHEMA_MISMATCH when the database is newer than the code; VALIDATION_ERROR naming the lines that would
 * lock a large table for long; INTERNAL_ERROR naming a failed migration.
 */
export const migrateAll = async (
  directUrl: string,
  log: Log,
  { beforeChanges, ...options }: MigrateAllOptions = {},
): Promise<readonly string[]> => {
  const before = await statusAll(directUrl);
  refuseForeignHistory(before.migrations);
  if (before.upToDate) return [];
  return withMigrationLock(directUrl, log, async (client) => {
    if (beforeChanges && !(await readStatus(client)).upToDate) await beforeChanges();
    const applied = [...(await migrateUp(client, log, undefined, options))];
    if (await retryOnLockTimeout(log, 'bullmq', () => migrateBullmq(client))) applied.push('bullmq');
    if (await retryOnLockTimeout(log, 'pgboss', () => migratePgBoss(client))) applied.push('pgboss');
    return applied;
  });
};

/** Libraries' schemas that are behind, under the names by which {@link migrateAll} answers them. */
const pendingLibraries = ({ bullmq, pgBoss }: SchemaStatus): readonly string[] => [
  ...(bullmq.version < bullmq.expected ? ['bullmq'] : []),
  ...(pgBoss.version < pgBoss.expected ? ['pgboss'] : []),
];

/**
 * What {@link migrateAll} would do. Treadle's own migrations are run in a transaction that is rolled back.
 * @throws AppError SCHEMA_MISMATCH when the database is newer than the code.
 */
export const tryAll = (directUrl: string, log: Log): Promise<readonly MigrationTrial[]> =>
  withMigrationLock(directUrl, log, async (client) => {
    const own = await tryMigrations(client, log);
    const reason = 'the library runs it in transactions of its own';
    const libraries = pendingLibraries(await readStatus(client));
    return [...own, ...libraries.map((name) => ({ name, outcome: 'not-tried' as const, reason, hazards: [] }))];
  });

/** What Treadle keeps its data in, and the extensions that its functions use. */
const backedUp = { schemas: ['treadle', 'bullmq', 'pgboss'], extensions: ['pg_trgm', 'unaccent', 'vector'] };

/**
 * Writes Treadle's schemas, and those of its libraries, into a file, see {@link backUp}; undefined where there are none yet.
 * @throws AppError as {@link backUp} does.
 */
export const backUpAll = (directUrl: string, target: string, signal: AbortSignal): Promise<string | undefined> =>
  backUp({ directUrl, target, signal, ...backedUp });

/** Tells the database which jobs there are, see {@link publishContracts}. */
export const publishAll = async (directUrl: string, registry: JobRegistry): Promise<void> => {
  const client = await connectDirect(directUrl, 'treadle:contracts');
  try {
    await publishContracts(client, registry);
  } finally {
    await client.end();
  }
};

/** Takes back the last `count` of Treadle's own migrations and answers their names; its libraries' schemas stay. */
export const migrateDownBy = (directUrl: string, log: Log, count: number): Promise<readonly string[]> =>
  withMigrationLock(directUrl, log, (client) => migrateDown(client, log, count));

/**
 * What a start with `TREADLE_MIGRATE=refuse` asks for.
 * @throws AppError SCHEMA_MISMATCH naming `treadle migrate up` when something is pending, or saying that the database is
 * newer than the code.
 */
export const checkSchema = async (directUrl: string): Promise<void> => {
  const status = await statusAll(directUrl);
  const { migrations, upToDate } = status;
  refuseForeignHistory(migrations);
  if (upToDate) return;
  const pending = [
    ...migrations.filter((record) => record.state === 'pending').map((record) => record.name),
    ...pendingLibraries(status),
  ];
  throw new AppError(
    'SCHEMA_MISMATCH',
    `the database is older than this Treadle: ${pending.join(', ')} ${pending.length === 1 ? 'is' : 'are'} not applied. Run: treadle migrate up`,
    {
      expected: migrations.at(-1)?.name ?? 'none',
      actual: migrations.findLast((record) => record.state !== 'pending')?.name ?? 'none',
      command: 'treadle migrate up',
    },
  );
};
