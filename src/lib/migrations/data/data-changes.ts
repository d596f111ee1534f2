import type { Queryable } from '../../postgres/queryable.ts';
import type { DataChange } from './define-data-migration.ts';

/** Keeps changes, in the transaction that makes them. */
export const rememberChanges = async (tx: Queryable, name: string, changes: readonly DataChange[]): Promise<void> => {
  await tx.query(
    `INSERT INTO treadle.data_migration_changes (name, key, before, after)
     SELECT $1, key, before, after FROM jsonb_to_recordset($2::jsonb) AS changes (key text, before jsonb, after jsonb)
     ON CONFLICT (name, key) DO UPDATE SET after = excluded.after`,
    [name, JSON.stringify(changes)],
  );
};

/** The next changes that are still there. */
export const nextChanges = async (tx: Queryable, name: string, limit: number): Promise<readonly DataChange[]> => {
  const { rows } = await tx.query<{ key: string; before: DataChange['before']; after: DataChange['after'] }>(
    `SELECT key, before, after FROM treadle.data_migration_changes WHERE name = $1 ORDER BY key LIMIT $2`,
    [name, limit],
  );
  return rows;
};

export const forgetChanges = async (tx: Queryable, name: string, changes: readonly DataChange[]): Promise<void> => {
  await tx.query('DELETE FROM treadle.data_migration_changes WHERE name = $1 AND key = ANY ($2)', [
    name,
    changes.map(({ key }) => key),
  ]);
};

export const countChanges = async (db: Queryable, name: string): Promise<number> => {
  const { rows } = await db.query<{ changes: number }>(
    'SELECT count(*)::integer AS changes FROM treadle.data_migration_changes WHERE name = $1',
    [name],
  );
  return rows[0]?.changes ?? 0;
};
