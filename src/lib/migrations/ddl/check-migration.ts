import type { Fault } from '../../errors/app-error.ts';
import type { Queryable } from '../../postgres/queryable.ts';
import type { Hazard } from './alter-table.ts';
import { findHazards } from './find-hazards.ts';

/** From so many rows a table is large. */
const largeRows = 100_000;
/** What a row takes at least, with what Postgres keeps of it: for tables that nobody has counted yet. */
const bytesPerRow = 36;

export interface LockedTable extends Hazard {
  /** About how many rows it has; null where no database was asked, or the whole of it is meant. */
  readonly rows: number | null;
}

/** About how many rows a table has, its partitions among them, from how large it is now; 0 where it does not exist. */
const estimateRows = async (db: Queryable, table: string): Promise<number> => {
  const { rows } = await db.query<{ rows: number }>(
    `SELECT coalesce(sum(CASE WHEN c.reltuples > 0 AND c.relpages > 0
         THEN c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::integer)
         ELSE pg_relation_size(c.oid) / ${bytesPerRow} END), 0)::float8 AS rows
     FROM pg_class AS c
     WHERE c.oid IN (SELECT to_regclass($1)::oid UNION ALL SELECT relid::oid FROM pg_partition_tree(to_regclass($1)))`,
    [table],
  );
  return Math.round(rows[0]?.rows ?? 0);
};

const hasValidCheck = async (db: Queryable, table: string, column: string): Promise<boolean> => {
  const { rows } = await db.query(
    `SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND contype = 'c' AND convalidated
       AND pg_get_constraintdef(oid) = format('CHECK ((%s IS NOT NULL))', $2::text)`,
    [table, column],
  );
  return rows.length > 0;
};

/**
 * The statements of a migration that would keep a large table from its users for long. With a database, tables of fewer
 * than 100,000 rows don't count, nor those that are not there yet.
 * @throws AppError VALIDATION_ERROR naming the line of a comment or quote that does not end.
 */
export const checkMigration = async (sql: string, db?: Queryable): Promise<readonly LockedTable[]> => {
  const hazards = findHazards(sql);
  if (!db) return hazards.map((hazard) => ({ ...hazard, rows: null }));
  const found: LockedTable[] = [];
  for (const hazard of hazards) {
    const { table, notNullColumn } = hazard;
    const rows = table === '' ? null : await estimateRows(db, table);
    if (rows !== null && rows < largeRows) continue;
    if (notNullColumn !== undefined && (await hasValidCheck(db, table, notNullColumn))) continue;
    found.push({ ...hazard, rows });
  }
  return found;
};

/** One hazard in a sentence, without its line. */
export const hazardText = ({ table, rows, what, instead }: LockedTable): string => {
  const subject = table === '' ? 'every table' : table;
  const size = rows === null ? '' : ` (about ${rows.toLocaleString('en')} rows)`;
  return `${subject}${size}: ${what}. Better: ${instead}`;
};

/** Hazards as faults, each with its line. */
export const hazardFaults = (hazards: readonly LockedTable[]): Fault[] =>
  hazards.map((hazard) => ({ path: `line ${hazard.line}`, message: hazardText(hazard) }));
