import { AppError } from '../errors/app-error.ts';
import type { Queryable } from '../postgres/queryable.ts';
import { readMigrationFiles } from './migration-files.ts';

export interface MigrationRecord {
  readonly name: string;
  /** `changed`: applied, but its file differs since. `unknown`: applied by a newer Treadle, there is no such file here. */
  readonly state: 'applied' | 'pending' | 'changed' | 'unknown';
  readonly appliedAt: Date | null;
}

interface AppliedRow {
  name: string;
  run_on: Date;
  sha256: string | null;
}

const readApplied = async (client: Queryable): Promise<readonly AppliedRow[]> => {
  const { rows: tables } = await client.query<{ present: boolean }>(
    `SELECT to_regclass('treadle.migrations') IS NOT NULL AND to_regclass('treadle.migration_checksums') IS NOT NULL AS present`,
  );
  if (!tables[0]?.present) return [];
  const { rows } = await client.query<AppliedRow>(
    `SELECT m.name, m.run_on::timestamptz AS run_on, c.sha256
     FROM treadle.migrations AS m LEFT JOIN treadle.migration_checksums AS c USING (name)
     ORDER BY m.name`,
  );
  return rows;
};

/** Every migration of the code and of the database, by name. */
export const migrationStatus = async (client: Queryable, folder?: string): Promise<readonly MigrationRecord[]> => {
  const files = await readMigrationFiles(folder);
  const applied = new Map((await readApplied(client)).map((row) => [row.name, row]));
  const known = files.map(({ name, sha256 }): MigrationRecord => {
    const row = applied.get(name);
    if (!row) return { name, state: 'pending', appliedAt: null };
    return {
      name,
      state: row.sha256 === null || row.sha256 === sha256 ? 'applied' : 'changed',
      appliedAt: row.run_on,
    };
  });
  const names = new Set(files.map((file) => file.name));
  const unknown = [...applied.values()]
    .filter((row) => !names.has(row.name))
    .map((row): MigrationRecord => ({ name: row.name, state: 'unknown', appliedAt: row.run_on }));
  return [...known, ...unknown].toSorted((a, b) => (a.name < b.name ? -1 : 1));
};

const newest = (records: readonly MigrationRecord[], states: readonly MigrationRecord['state'][]): string =>
  records.findLast((record) => states.includes(record.state))?.name ?? 'none';

/** @throws AppError SCHEMA_MISMATCH when the database has migrations that this code does not know, or not in its order. */
export const refuseForeignHistory = (records: readonly MigrationRecord[]): void => {
  const details = {
    expected: newest(records, ['applied', 'changed', 'pending']),
    actual: newest(records, ['applied', 'changed', 'unknown']),
  };
  const unknown = records.filter((record) => record.state === 'unknown').map((record) => record.name);
  if (unknown.length > 0) {
    throw new AppError(
      'SCHEMA_MISMATCH',
      `the database is newer than this Treadle: it has ${unknown.join(', ')}, which this version does not know. ` +
        'Install the newer version, or take these back with it (treadle migrate down)',
      { ...details, command: `treadle migrate down ${unknown.length}` },
    );
  }
  const firstPending = records.findIndex((record) => record.state === 'pending');
  const after = firstPending < 0 ? undefined : records.slice(firstPending).find((record) => record.state !== 'pending');
  if (after) {
    throw new AppError(
      'SCHEMA_MISMATCH',
      `migration ${records[firstPending]?.name} is not applied, but ${after.name}, which comes after it, is: ` +
        'restore a database whose history fits, or rename the file so that it comes last',
      details,
    );
  }
};
