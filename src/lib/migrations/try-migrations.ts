import type pg from 'pg';
import { codeOf } from '../errors/classify.ts';
import type { Log } from '../log/create-log.ts';
import { checkMigration, type LockedTable } from './ddl/check-migration.ts';
import { controlsTransactions, upSection } from './ddl/statements.ts';
import { pendingFiles, prepareTables } from './migrate.ts';
import type { MigrationFile } from './migration-files.ts';

export interface MigrationTrial {
  readonly name: string;
  readonly outcome: 'passes' | 'fails' | 'not-tried';
  /** Why it fails or was not tried. */
  readonly reason: string | null;
  readonly hazards: readonly LockedTable[];
}

/** The locks of a trial are held to its end, so it must not take long. */
const statementTimeoutMs = 10_000;

/** Why a statement's error says nothing of whether the migration would pass, by SQLSTATE. */
const inconclusive: Readonly<Record<string, string>> = {
  '25001': 'it has a statement that cannot be run in a transaction, and so not rolled back',
  '55P03': 'a table that it changes is in use',
  '57014': `it has a statement that takes longer than ${statementTimeoutMs / 1_000} s`,
};

const notTried = (name: string, reason: string, hazards: readonly LockedTable[] = []): MigrationTrial => ({
  name,
  outcome: 'not-tried',
  reason,
  hazards,
});

const tryFile = async (client: pg.Client, { name, text }: MigrationFile): Promise<MigrationTrial> => {
  const hazards = await checkMigration(text, client);
  if (hazards.length > 0) return notTried(name, 'it would lock a large table', hazards);
  if (controlsTransactions(text)) return notTried(name, 'it begins or ends transactions itself');
  try {
    await client.query(upSection(text));
    return { name, outcome: 'passes', reason: null, hazards };
  } catch (error) {
    const reason = inconclusive[codeOf(error) ?? ''];
    if (reason !== undefined) return notTried(name, reason);
    return { name, outcome: 'fails', reason: error instanceof Error ? error.message : 'unknown error', hazards };
  }
};

/**
 * Runs the pending migrations in one transaction that is rolled back. Where one cannot be tried, or fails, those after
 * it are not tried either. Call it under {@link withMigrationLock}.
 * @throws AppError SCHEMA_MISMATCH for a database that is newer than the code.
 */
export const tryMigrations = async (
  client: pg.Client,
  log: Log,
  folder?: string,
): Promise<readonly MigrationTrial[]> => {
  const files = await pendingFiles(client, log, folder);
  const trials: MigrationTrial[] = [];
  await client.query(`BEGIN; SET LOCAL statement_timeout = ${statementTimeoutMs}`);
  try {
    await prepareTables(client);
    for (const file of files) {
      const stopped = trials.find(({ outcome }) => outcome !== 'passes');
      trials.push(stopped ? notTried(file.name, `it comes after ${stopped.name}`) : await tryFile(client, file));
    }
  } finally {
    await client.query('ROLLBACK');
  }
  return trials;
};
