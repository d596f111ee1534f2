import { AppError } from '../../../lib/errors/app-error.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { AppIndex, ManyJoin, OneJoin } from '../define-index.ts';
import { kindOfType, type ColumnKind } from './column-json.ts';

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const split = (table: string): { readonly schema: string; readonly table: string } => {
  const [schema = '', name = ''] = table.split('.');
  return { schema, table: name };
};
export const sqlName = (table: string): string => {
  const { schema, table: name } = split(table);
  return `${quote(schema)}.${quote(name)}`;
};

export interface Column {
  readonly kind: ColumnKind;
  /** As format_type() names it. */
  readonly type: string;
}

type Columns = ReadonlyMap<string, Column>;

const readColumns = async (db: Queryable, table: string): Promise<Columns> => {
  const { rows } = await db.query<{ name: string; type: string; is_enum: boolean }>(
    `SELECT a.attname::text AS name, format_type(a.atttypid, NULL) AS type, t.typtype = 'e' AS is_enum
     FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`,
    [sqlName(table)],
  );
  return new Map(rows.map(({ name, type, is_enum }) => [name, { type, kind: kindOfType(type, is_enum) }]));
};

const isUnique = async (db: Queryable, table: string, column: string): Promise<boolean> => {
  const { rows } = await db.query(
    `SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts = 1 AND a.attname = $2`,
    [sqlName(table), column],
  );
  return rows.length > 0;
};

/** What is wrong with an index of TREADLE_INDEXES. */
export const refuse = (index: string, message: string): AppError =>
  new AppError('CONFIGURATION_ERROR', `TREADLE_INDEXES: the index ${index}: ${message}`, {
    faults: [{ variable: 'TREADLE_INDEXES', message: `the index ${index}: ${message}` }],
  });

/** What is known of the tables of an index once they were looked at. */
export interface Catalog {
  readonly columnOf: (table: string, column: string) => Column;
  readonly idIsUnique: boolean;
}

/** Looks at the tables of an index. @throws AppError CONFIGURATION_ERROR for one, or a column, that is not there. */
export const readCatalog = async (db: Queryable, index: AppIndex): Promise<Catalog> => {
  const joins: readonly (OneJoin | ManyJoin)[] = [...Object.values(index.one), ...Object.values(index.many)];
  const names = [
    index.table,
    ...joins.map(({ table }) => table),
    ...Object.values(index.many).flatMap(({ through }) => (through ? [through.table] : [])),
  ];
  const tables = new Map<string, Columns>();
  for (const name of new Set(names)) {
    const columns = await readColumns(db, name);
    if (columns.size === 0) throw refuse(index.name, `there is no table ${name}`);
    tables.set(name, columns);
  }
  return {
    columnOf: (table, column) => {
      const found = tables.get(table)?.get(column);
      if (!found) throw refuse(index.name, `the table ${table} has no column ${column}`);
      return found;
    },
    idIsUnique: await isUnique(db, index.table, index.id),
  };
};
