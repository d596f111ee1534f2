import DataLoader from 'dataloader';
import { sql, type Kysely } from 'kysely';
import { validationError } from '../../errors/app-error.ts';
import type { DB } from '../schema.generated.ts';
import type { ColumnKind } from './column-kinds.ts';
import { Faults, columnNamed, projections, rowReader } from './column-list.ts';
import { qualifiedOrder, type OrderBy } from './order.ts';
import { readReading, type Picked, type ReadOptions } from './pages.ts';
import type { Column, Columns, RowOf, TableDefinition } from './table-definition.ts';

/** A key as callers have it; null never finds anything. */
export type LoaderKey<C extends Columns, B extends keyof C> = NonNullable<RowOf<C>[B]>;

export interface LoaderOptions<C extends Columns, S extends keyof C & string> extends ReadOptions<C, S> {
  /** Of the rows of one key. */
  readonly orderBy?: OrderBy<C> | undefined;
}

const mostKeys = 10_000;
/** Their values have one spelling each. */
const keyKinds: ReadonlySet<ColumnKind> = new Set(['text', 'uuid', 'integer', 'bigint']);
/** No column's name has a space. */
const keyAlias = 'its key';

const loaderColumn = (table: TableDefinition<Columns>, by: string, faults: Faults): Column | undefined => {
  const column = columnNamed(table, by, 'by', faults);
  if (column && !keyKinds.has(column.kindName)) faults.add('by', `must be ${[...keyKinds].join(', ')}`);
  return column;
};

interface LoaderParts<C extends Columns, B, S extends keyof C & string, V> {
  readonly by: B;
  readonly options: LoaderOptions<C, S>;
  /** What a key gets of its rows. */
  pick(this: void, rows: readonly Picked<C, S>[]): V;
}

/** Loads by a column, with one statement for all keys that are asked in one tick. */
export const createLoader = <C extends Columns, B extends keyof C & string, S extends keyof C & string, V>(
  db: Kysely<DB>,
  table: TableDefinition<C>,
  { by, options, pick }: LoaderParts<C, B, S, V>,
): DataLoader<LoaderKey<C, B>, V, string> => {
  const faults = new Faults('the loader');
  const column = loaderColumn(table, by, faults);
  const { columns, where, order } = readReading(table, options, faults);
  const read = rowReader<Picked<C, S>>(columns);
  const parameterOf = (key: unknown): string | undefined => {
    const parameter = column?.parameterOf(key);
    return parameter === undefined ? undefined : String(parameter);
  };
  const rowsOf = async (keys: readonly string[]) => {
    if (!column || keys.length === 0) return [];
    const { rows } = await sql<Record<string, unknown> & { readonly [keyAlias]: string }>`
      SELECT ${projections(columns)}, ${column.ref}::text AS ${sql.id(keyAlias)} FROM ${table.ref}
      WHERE ${where.sql} AND ${column.ref} = ANY (${keys}::${column.type}[])
      ORDER BY ${qualifiedOrder(table, order)}`.execute(db);
    return rows.map((row) => ({ key: row[keyAlias], row: read(row) }));
  };
  const load = async (keys: readonly LoaderKey<C, B>[]): Promise<readonly (Error | V)[]> => {
    const parameters = keys.map(parameterOf);
    const found = Map.groupBy(await rowsOf(parameters.filter((key) => key !== undefined)), ({ key }) => key);
    return parameters.map((key) =>
      key === undefined
        ? validationError('the key', [{ path: by, message: `must be ${column?.expected}` }])
        : pick((found.get(key) ?? []).map(({ row }) => row)),
    );
  };
  // Two spellings of an id are one key.
  const cacheKeyFn = (key: unknown): string => parameterOf(key) ?? String(key);
  return new DataLoader<LoaderKey<C, B>, V, string>(load, { maxBatchSize: mostKeys, cacheKeyFn });
};
