import { sql, type RawBuilder } from 'kysely';
import type { Parameter } from './column-kinds.ts';
import { typed } from './where.ts';
import { orderSql, type OrderColumn } from './order.ts';

/** What a row has in the columns of an order, as texts that keep every digit; null where it has no value. */
export type RowKey = readonly (Parameter | null)[];

/**
 * The text of a column's value, the same under all settings of a connection; microseconds and 8-byte numbers stay whole.
 * JSON writes them so.
 */
const keyText = ({ column }: OrderColumn): RawBuilder<unknown> => sql`to_jsonb(${column.ref}) #>> '{}'`;

export const keyTexts = (order: readonly OrderColumn[]): RawBuilder<unknown> =>
  sql`ARRAY[${sql.join(order.map(keyText))}]::text[]`;

type Predicate = RawBuilder<unknown>;

const same = ({ column }: OrderColumn, value: Parameter | null): Predicate =>
  value === null ? sql`${column.ref} IS NULL` : sql`${column.ref} = ${typed(column, value)}`;

/** Beyond a value in the order of one column: each a range of an index. Without a value rows are last by ASC, first by DESC. */
const beyond = ({ column, descending }: OrderColumn, value: Parameter | null): readonly Predicate[] => {
  if (value === null) return descending ? [sql`${column.ref} IS NOT NULL`] : [];
  const further = sql`${column.ref} ${descending ? sql`<` : sql`>`} ${typed(column, value)}`;
  return column.nullable && !descending ? [further, sql`${column.ref} IS NULL`] : [further];
};

/** A comparison of whole rows, which is one range of an index, where all columns go one way and have values. */
const rowComparison = (order: readonly OrderColumn[], key: RowKey): Predicate | undefined => {
  const descending = order[0]?.descending === true;
  if (order.some(({ column, ...each }) => column.nullable || each.descending !== descending)) return undefined;
  const columns = sql.join(order.map(({ column }) => column.ref));
  const values = sql.join(order.map(({ column }, index) => typed(column, key[index] ?? '')));
  return sql`(${columns}) ${descending ? sql`<` : sql`>`} (${values})`;
};

/**
 * The rows beyond a key in an order, as conditions of which every row meets one at most, nearest first; each alone is a
 * range of an index on the order's columns.
 */
export const rangesBeyond = (order: readonly OrderColumn[], key: RowKey): readonly Predicate[] => {
  const whole = rowComparison(order, key);
  if (whole) return [whole];
  return order
    .flatMap((each, index) => {
      const prefix = order.slice(0, index).map((before, at) => same(before, key[at] ?? null));
      return [beyond(each, key[index] ?? null).map((last) => sql.join([...prefix, last], sql` AND `))];
    })
    .toReversed()
    .flat();
};

/**
 * The first `limit` rows in the order that meet `where` and lie in one of the ranges; no range given means anywhere. Each
 * range reads its index no further than it has to.
 */
export const orderedRows = ({
  from,
  columns,
  where,
  ranges,
  order,
  limit,
}: {
  readonly from: RawBuilder<unknown>;
  readonly columns: RawBuilder<unknown>;
  readonly where: RawBuilder<unknown>;
  readonly ranges: readonly Predicate[] | undefined;
  readonly order: readonly OrderColumn[];
  readonly limit: number;
}): RawBuilder<unknown> => {
  const rows = (range: Predicate): RawBuilder<unknown> =>
    sql`(SELECT ${columns} FROM ${from} WHERE ${where} AND ${range} ORDER BY ${orderSql(order)} LIMIT ${limit})`;
  return sql.join((ranges ?? [sql`true`]).map(rows), sql` UNION ALL `);
};
