import { sql, type RawBuilder } from 'kysely';
import { columnNamed, fieldsOf, type Faults } from './column-list.ts';
import type { Column, Columns, TableDefinition } from './table-definition.ts';

export type Direction = 'asc' | 'desc';
/** Columns in the order in which they count, each with its direction. Rows without a value come last, or first by `desc`. */
export type OrderBy<C extends Columns> = { readonly [Name in keyof C]?: Direction | undefined };

export interface OrderColumn {
  readonly column: Column;
  readonly descending: boolean;
}

/** The order asked for, made total by the primary key, whose columns follow the direction of the last one named. */
export const readOrder = (
  table: TableDefinition<Columns>,
  orderBy: unknown,
  faults: Faults,
): readonly OrderColumn[] => {
  const asked = fieldsOf(orderBy, 'orderBy', faults).flatMap(([name, direction]): readonly OrderColumn[] => {
    if (direction === undefined) return [];
    const path = `orderBy.${name}`;
    const column = columnNamed(table, name, path, faults);
    if (!column) return [];
    if (direction !== 'asc' && direction !== 'desc') faults.add(path, 'must be asc or desc');
    if (!column.ordered) faults.add(path, 'cannot be ordered by');
    return [{ column, descending: direction === 'desc' }];
  });
  const descending = asked.at(-1)?.descending ?? false;
  const left = table.primaryKey.filter((key) => !asked.some(({ column }) => column === key));
  return [...asked, ...left.map((column) => ({ column, descending }))];
};

export const reversed = (order: readonly OrderColumn[]): readonly OrderColumn[] =>
  order.map(({ column, descending }) => ({ column, descending: !descending }));

/** Written as indexes are: ASC has NULL last, DESC first, both by default. */
export const orderSql = (order: readonly OrderColumn[]): RawBuilder<unknown> =>
  sql.join(order.map(({ column, descending }) => sql`${column.ref} ${descending ? sql`DESC` : sql`ASC`}`));

/** By the table's columns, not by what the SELECT may call the same. */
export const qualifiedOrder = (
  { ref }: Pick<TableDefinition<Columns>, 'ref'>,
  order: readonly OrderColumn[],
): RawBuilder<unknown> =>
  orderSql(order.map((each) => ({ ...each, column: { ...each.column, ref: sql`${ref}.${each.column.ref}` } })));
