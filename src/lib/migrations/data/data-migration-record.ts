import { z } from 'zod';
import { serializeError } from '../../errors/classify.ts';
import type { Queryable } from '../../postgres/queryable.ts';
import type { DataMigration, JsonValue } from './define-data-migration.ts';

export type DataMigrationState = 'pending' | 'running' | 'completed' | 'validated' | 'failed' | 'undoing' | 'undone';

/** How far a data migration is. */
export interface DataMigrationRecord {
  readonly name: string;
  readonly state: DataMigrationState;
  readonly cursor: JsonValue;
  /** Rows changed; while it is taken back, changes yet to undo. */
  readonly changed: number;
  readonly error: string | null;
  readonly startedAt: Date | null;
  /** When the last batch was done, up or down; a failed migration with this time has only failed its validation. */
  readonly finishedAt: Date | null;
}

export interface DataMigrationStatus extends Omit<DataMigrationRecord, 'cursor'> {
  /** Null for one that the database knows and this code does not. */
  readonly description: string | null;
}

interface Row {
  name: string;
  state: DataMigrationState;
  cursor: JsonValue;
  changed: string | number;
  error: string | null;
  started_at: Date | null;
  finished_at: Date | null;
}

const columns = 'name, state, cursor, changed, error, started_at, finished_at';

const toRecord = (row: Row): DataMigrationRecord => ({
  name: row.name,
  state: row.state,
  cursor: row.cursor,
  changed: Number(row.changed),
  error: row.error,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
});

const blank = (name: string): DataMigrationRecord => ({
  name,
  state: 'pending',
  cursor: null,
  changed: 0,
  error: null,
  startedAt: null,
  finishedAt: null,
});

/** One that has never run is pending. */
export const findRecord = async (db: Queryable, name: string): Promise<DataMigrationRecord> => {
  const { rows } = await db.query<Row>(`SELECT ${columns} FROM treadle.data_migrations WHERE name = $1`, [name]);
  return rows[0] ? toRecord(rows[0]) : blank(name);
};

/** Holds the record to the end of the transaction; undefined when another process does. */
export const lockRecord = async (tx: Queryable, name: string): Promise<DataMigrationRecord | undefined> => {
  const { rows } = await tx.query<Row>(
    `SELECT ${columns} FROM treadle.data_migrations WHERE name = $1 FOR NO KEY UPDATE SKIP LOCKED`,
    [name],
  );
  return rows[0] && toRecord(rows[0]);
};

/** Makes the record of a migration that has none. */
export const ensureRecord = async (db: Queryable, name: string): Promise<void> => {
  await db.query('INSERT INTO treadle.data_migrations (name) VALUES ($1) ON CONFLICT (name) DO NOTHING', [name]);
};

const schema = z.array(z.string());

/** Turns to the first batch of `up`. */
export const beginUp = async (tx: Queryable, name: string): Promise<void> => {
  await tx.query(
    `UPDATE treadle.data_migrations
     SET state = 'running', cursor = NULL, changed = 0, error = NULL, started_at = now(), finished_at = NULL WHERE name = $1`,
    [name],
  );
};

/** Turns to the first batch of `down`. */
export const beginDown = async (tx: Queryable, name: string): Promise<void> => {
  await tx.query(
    `UPDATE treadle.data_migrations
     SET state = 'undoing', cursor = NULL, error = NULL, finished_at = NULL,
       changed = (SELECT count(*) FROM treadle.data_migration_changes AS c WHERE c.name = $1)
     WHERE name = $1`,
    [name],
  );
};

/** Writes down a batch of `down`. */
export const retreat = async (tx: Queryable, name: string, changes: number): Promise<void> => {
  await tx.query('UPDATE treadle.data_migrations SET changed = greatest(changed - $2, 0) WHERE name = $1', [
    name,
    changes,
  ]);
};

/** Takes up again what failed. */
export const resumeFailed = async (tx: Queryable, name: string): Promise<void> => {
  await tx.query(
    `UPDATE treadle.data_migrations SET error = NULL, state = CASE WHEN finished_at IS NULL THEN 'running' ELSE 'completed' END
     WHERE name = $1`,
    [name],
  );
};

/** Writes down a batch of `up`; without a cursor it was the last. */
export const advance = async (
  tx: Queryable,
  name: string,
  { cursor, changed }: { readonly cursor: JsonValue; readonly changed: number },
): Promise<void> => {
  const last = cursor === null ? `, state = 'completed', finished_at = now()` : '';
  await tx.query(`UPDATE treadle.data_migrations SET cursor = $2, changed = changed + $3${last} WHERE name = $1`, [
    name,
    cursor === null ? null : JSON.stringify(cursor),
    changed,
  ]);
};

/** What `validate` found decides. */
export const writeValidation = async (tx: Queryable, name: string, faults: readonly string[]): Promise<void> => {
  const found = schema.parse(faults);
  const error = found.length === 0 ? null : found.join('; ');
  await tx.query(
    `UPDATE treadle.data_migrations SET error = $2, state = CASE WHEN $2::text IS NULL THEN 'validated' ELSE 'failed' END
     WHERE name = $1`,
    [name, error],
  );
};

/** Why a run failed. On its way down a migration stays where it is, to be taken back by the next run. */
export const writeFailure = async (
  db: Queryable,
  name: string,
  direction: 'up' | 'down',
  thrown: unknown,
): Promise<void> => {
  const error = serializeError(thrown).message.replaceAll('\0', '');
  const change =
    direction === 'up'
      ? `SET error = $2, state = 'failed' WHERE name = $1 AND state IN ('running', 'completed')`
      : `SET error = $2 WHERE name = $1 AND state = 'undoing'`;
  await db.query(`UPDATE treadle.data_migrations ${change}`, [name, error]);
};

export const writeUndone = async (tx: Queryable, name: string): Promise<void> => {
  await tx.query(
    `UPDATE treadle.data_migrations SET state = 'undone', cursor = NULL, changed = 0, error = NULL, finished_at = now() WHERE name = $1`,
    [name],
  );
};

/** Every data migration of the code and of the database, by name. */
export const dataMigrationStatus = async (
  db: Queryable,
  migrations: readonly DataMigration[],
): Promise<readonly DataMigrationStatus[]> => {
  const { rows } = await db.query<Row>(`SELECT ${columns} FROM treadle.data_migrations`);
  const records = new Map(rows.map((row) => [row.name, toRecord(row)]));
  const descriptions = new Map(migrations.map(({ name, description }) => [name, description]));
  return [...new Set([...records.keys(), ...descriptions.keys()])].toSorted().map((name) => {
    const { cursor: _, ...record } = records.get(name) ?? blank(name);
    return { ...record, description: descriptions.get(name) ?? null };
  });
};
