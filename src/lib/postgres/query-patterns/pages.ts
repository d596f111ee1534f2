import { sql, type Kysely } from 'kysely';
import { z } from 'zod';
import { pageOf, readPageRequest } from '../keyset-page.ts';
import type { Queryable } from '../queryable.ts';
import type { DB } from '../schema.generated.ts';
import { Faults, projections, rowReader, selectedColumns } from './column-list.ts';
import { keyTexts, orderedRows, rangesBeyond } from './keyset.ts';
import { qualifiedOrder, readOrder, reversed, type OrderBy, type OrderColumn } from './order.ts';
import type { Column, Columns, RowOf, TableDefinition } from './table-definition.ts';
import { readWhere, type Condition, type Where } from './where.ts';

/** What is read of which rows; of all columns and all rows without it. */
export interface ReadOptions<C extends Columns, S extends keyof C & string> {
  readonly select?: readonly S[] | undefined;
  readonly where?: Where<C> | undefined;
  /** Rows that are marked as deleted too. */
  readonly withDeleted?: boolean | undefined;
}

export interface PaginateOptions<C extends Columns, S extends keyof C & string> extends ReadOptions<C, S> {
  /** From 1 on. */
  readonly page?: number | undefined;
  /** 20 by default, at most 100. */
  readonly pageSize?: number | undefined;
  readonly orderBy?: OrderBy<C> | undefined;
}

export interface NumberedPage<T> {
  readonly data: readonly T[];
  readonly total: number;
  readonly page: number;
  readonly pageSize: number;
  readonly totalPages: number;
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
}

export interface CursorOptions<C extends Columns, S extends keyof C & string> extends ReadOptions<C, S> {
  /** 20 by default, at most 100. */
  readonly limit?: number | undefined;
  /** `nextCursor` or `previousCursor` of an earlier page of the same filter and order. */
  readonly cursor?: string | undefined;
  readonly orderBy?: OrderBy<C> | undefined;
}

export interface CursorPage<T> {
  readonly data: readonly T[];
  readonly nextCursor: string | null;
  readonly previousCursor: string | null;
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
}

export type Picked<C extends Columns, S extends keyof C & string> = Pick<RowOf<C>, S>;

/** Where statements run: a pool or an open transaction. */
export interface PatternsDatabase extends Queryable {
  readonly db: Kysely<DB>;
}

interface AnyRead {
  readonly select?: readonly string[] | undefined;
  readonly where?: Readonly<Record<string, unknown>> | undefined;
  readonly withDeleted?: boolean | undefined;
  readonly orderBy?: Readonly<Record<string, unknown>> | undefined;
}

export interface Reading {
  readonly columns: readonly Column[];
  readonly where: Condition;
  readonly order: readonly OrderColumn[];
}

/** @throws AppError VALIDATION_ERROR naming every field that is no column, or has a value that does not fit. */
export const readReading = (table: TableDefinition<Columns>, options: AnyRead, faults: Faults): Reading => {
  const columns = selectedColumns(table, options.select, faults);
  const where = readWhere(table, options.where, { faults, withDeleted: options.withDeleted });
  const order = readOrder(table, options.orderBy, faults);
  faults.throwIfAny();
  return { columns, where, order };
};

/** The first rows of a reading, in its order. */
export const firstRows = async <T>(
  db: Kysely<DB>,
  table: TableDefinition<Columns>,
  { columns, where, order }: Reading,
  { limit, offset = 0 }: { readonly limit: number; readonly offset?: number },
): Promise<readonly T[]> => {
  const { rows } = await sql<Record<string, unknown>>`
    SELECT ${projections(columns)} FROM ${table.ref} WHERE ${where.sql}
    ORDER BY ${qualifiedOrder(table, order)} LIMIT ${limit} OFFSET ${offset}`.execute(db);
  return rows.map(rowReader<T>(columns));
};

export const inRange = (
  faults: Faults,
  path: string,
  value: number,
  { from = 1, to }: { readonly from?: number; readonly to: number },
): void => {
  if (!Number.isInteger(value) || value < from || value > to) {
    faults.add(path, `must be a whole number from ${from} to ${to}`);
  }
};

const deepestRow = 100_000;

/** See QueryPatterns.paginate. */
export const paginate = async <C extends Columns, S extends keyof C & string>(
  db: Kysely<DB>,
  table: TableDefinition<C>,
  { page = 1, pageSize = 20, ...options }: PaginateOptions<C, S>,
): Promise<NumberedPage<Picked<C, S>>> => {
  const faults = new Faults('the page');
  inRange(faults, 'pageSize', pageSize, { to: 100 });
  const deepestPage = Number.isInteger(pageSize) ? Math.max(1, Math.floor(deepestRow / pageSize)) : deepestRow;
  inRange(faults, 'page', page, { to: deepestPage });
  const reading = readReading(table, options, faults);
  const counted = await sql<{ total: string }>`
    SELECT count(*)::text AS total FROM ${table.ref} WHERE ${reading.where.sql}`.execute(db);
  const total = Number(counted.rows[0]?.total ?? 0);
  const offset = (page - 1) * pageSize;
  const data = offset < total ? await firstRows<Picked<C, S>>(db, table, reading, { limit: pageSize, offset }) : [];
  const totalPages = Math.ceil(total / pageSize);
  return {
    data,
    total,
    page,
    pageSize,
    totalPages,
    hasNextPage: page < totalPages,
    hasPreviousPage: page > 1 && total > 0,
  };
};

/** No column's name has a space. */
const keyAlias = 'its key';
const nothing = '-';
const keyPart = (value: string | null): string => (value === null ? nothing : `=${value}`);

/** See QueryPatterns.paginateWithCursor. */
export const paginateWithCursor = async <C extends Columns, S extends keyof C & string>(
  database: PatternsDatabase,
  table: TableDefinition<C>,
  { limit, cursor, ...options }: CursorOptions<C, S>,
): Promise<CursorPage<Picked<C, S>>> => {
  const { columns, where, order } = readReading(table, options, new Faults('the page'));
  const start = await readPageRequest<readonly string[]>(
    database,
    { limit, cursor },
    {
      list: `table ${table.schema}.${table.name}`,
      scope: [order.map(({ column, descending }) => [column.name, descending]), where.scope()],
      key: z.array(z.string().regex(/^(?:-$|=)/)).length(order.length),
    },
  );
  const towards = start.direction === 'next' ? order : reversed(order);
  const key = start.key?.map((part) => (part === nothing ? null : part.slice(1)));
  const needed = [...new Set([...columns, ...order.map(({ column }) => column)])];
  const found = orderedRows({
    from: table.ref,
    columns: sql.join(needed.map(({ ref }) => ref)),
    where: where.sql,
    ranges: key && rangesBeyond(towards, key),
    order: towards,
    limit: start.limit + 1,
  });
  const name = sql.id('found');
  const { rows } = await sql<Record<string, unknown> & { readonly [keyAlias]: readonly (string | null)[] }>`
    SELECT ${projections(columns)}, ${keyTexts(order)} AS ${sql.id(keyAlias)} FROM (${found}) AS ${name}
    ORDER BY ${qualifiedOrder({ ref: name }, towards)} LIMIT ${start.limit + 1}`.execute(database.db);
  const read = rowReader<Picked<C, S>>(columns);
  const { items, nextCursor, prevCursor } = pageOf(rows, start, {
    keyOf: (row) => row[keyAlias].map(keyPart),
    toItem: read,
  });
  return {
    data: items,
    nextCursor,
    previousCursor: prevCursor,
    hasNextPage: nextCursor !== null,
    hasPreviousPage: prevCursor !== null,
  };
};
