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
  /** As format_type() names it, with its length: what a text is cast to. */
  readonly type: string;
  /** Made by Postgres of the others: the change stream does not carry it. */
  readonly isGenerated: boolean;
}

type Columns = ReadonlyMap<string, Column>;

interface ColumnRow {
  readonly name: string;
  readonly type: string;
  readonly base: string;
  readonly is_enum: boolean;
  readonly is_generated: boolean;
}

/** A domain is taken for what it is made of. */
const readColumns = async (db: Queryable, table: string): Promise<Columns> => {
  const { rows } = await db.query<ColumnRow & Record<string, unknown>>(
    `SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, format_type(base.oid, NULL) AS base,
       base.typtype = 'e' AS is_enum, a.attgenerated <> '' AS is_generated
     FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
     JOIN pg_type AS base ON base.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`,
    [sqlName(table)],
  );
  return new Map(
    rows.map(({ name, type, base, is_enum, is_generated }) => [
      name,
      { type, kind: kindOfType(base, is_enum), isGenerated: is_generated },
    ]),
  );
};

const relations: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialized view',
  f: 'a foreign table',
  p: 'partitioned, and rows that go with a dropped partition would not be told of',
};

/** Undefined: it is there, and its changes are told row by row. */
const faultOfTable = async (db: Queryable, table: string): Promise<string | undefined> => {
  const { rows } = await db.query<{ kind: string }>(
    'SELECT relkind::text AS kind FROM pg_class WHERE oid = to_regclass($1)',
    [sqlName(table)],
  );
  const [found] = rows;
  if (!found) return `there is no table ${table}`;
  if (found.kind === 'r') return undefined;
  return `${table} is ${relations[found.kind] ?? 'no table'}: only ordinary tables can be followed`;
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

/** Looks at the tables of an index. @throws AppError CONFIGURATION_ERROR for one that is not there, or no ordinary table. */
export const readCatalog = async (db: Queryable, index: AppIndex): Promise<Catalog> => {
  const joins: readonly (OneJoin | ManyJoin)[] = [...Object.values(index.one), ...Object.values(index.many)];
  const names = [
    index.table,
    ...joins.map(({ table }) => table),
    ...Object.values(index.many).flatMap(({ through }) => (through ? [through.table] : [])),
  ];
  const tables = new Map<string, Columns>();
  for (const name of new Set(names)) {
    const fault = await faultOfTable(db, name);
    if (fault !== undefined) throw refuse(index.name, fault);
    tables.set(name, await readColumns(db, name));
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
