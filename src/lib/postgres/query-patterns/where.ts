import { sql, type RawBuilder } from 'kysely';
import { likeAnywhere } from './like-pattern.ts';
import { columnNamed, fieldsOf, type Faults } from './column-list.ts';
import type { Parameter } from './column-kinds.ts';
import type { Column, Columns, InputOf, TableDefinition } from './table-definition.ts';

/** Conditions on one column, all of which hold. */
export interface Comparison<T> {
  readonly gt?: T | undefined;
  readonly gte?: T | undefined;
  readonly lt?: T | undefined;
  readonly lte?: T | undefined;
  /** Another value; with null: any value. */
  readonly not?: T | null | undefined;
  /** Text: has this in it, in any case. Lists and JSON: holds all of this. */
  readonly contains?: T | undefined;
}

/**
 * Which rows: each column named has this value, or one of this list, or meets the comparison; null means that it has no
 * value. Undefined is as if it were not there.
 */
export type Where<C extends Columns> = {
  readonly [Name in keyof C]?:
    | NonNullable<InputOf<C[Name]>>
    | readonly NonNullable<InputOf<C[Name]>>[]
    | Comparison<NonNullable<InputOf<C[Name]>>>
    | null
    | undefined;
};

/** A condition in SQL. */
export interface Condition {
  readonly sql: RawBuilder<boolean>;
  /** What it says as JSON. Only of a filter without faults, which is not nested too deep to be walked. */
  scope(this: void): readonly unknown[];
}

const operators = { gt: sql`>`, gte: sql`>=`, lt: sql`<`, lte: sql`<=` } as const;
const isOperator = (name: string): name is keyof typeof operators => Object.hasOwn(operators, name);

const isComparison = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** A value of the column in SQL. */
export const typed = ({ kindName, type }: Column, value: Parameter): RawBuilder<unknown> =>
  kindName === 'text[]' ? sql`ARRAY(SELECT jsonb_array_elements_text(${value}::jsonb))` : sql`${value}::${type}`;

const containing = (column: Column, value: unknown, path: string, faults: Faults): RawBuilder<unknown> | undefined => {
  const parameter = column.parameterOf(value);
  if (parameter === undefined) {
    faults.add(path, `must be ${column.expected}`);
    return undefined;
  }
  if (column.kindName === 'text') return sql`${column.ref} ILIKE ${likeAnywhere(String(parameter))}`;
  if (!column.ordered) return sql`${column.ref} @> ${typed(column, parameter)}`;
  faults.add(path, 'is for texts, lists and JSON only');
  return undefined;
};

const comparing = (
  column: Column,
  name: string,
  value: unknown,
  { path, faults }: { readonly path: string; readonly faults: Faults },
): RawBuilder<unknown> | undefined => {
  if (name === 'contains') return containing(column, value, path, faults);
  if (name === 'not' && value === null) return sql`${column.ref} IS NOT NULL`;
  if (name !== 'not' && !isOperator(name)) {
    faults.add(path, 'is not a known comparison');
    return undefined;
  }
  const parameter = column.parameterOf(value);
  if (!column.ordered) faults.add(path, `cannot be compared: only contains and null are possible`);
  else if (parameter === undefined) faults.add(path, `must be ${column.expected}`);
  if (!column.ordered || parameter === undefined) return undefined;
  return name === 'not'
    ? sql`${column.ref} IS DISTINCT FROM ${typed(column, parameter)}`
    : sql`${column.ref} ${operators[name]} ${typed(column, parameter)}`;
};

const conditionsOn = (column: Column, value: unknown, path: string, faults: Faults): RawBuilder<unknown>[] => {
  if (value === null) return [sql`${column.ref} IS NULL`];
  if (isComparison(value)) {
    // Nobody means all rows by it.
    if (Object.keys(value).length === 0) faults.add(path, 'names no comparison');
    return Object.entries(value).flatMap(([name, operand]) =>
      operand === undefined ? [] : (comparing(column, name, operand, { path: `${path}.${name}`, faults }) ?? []),
    );
  }
  if (!column.ordered) {
    faults.add(path, 'cannot be compared: only contains and null are possible');
    return [];
  }
  const list = Array.isArray(value) ? value : [value];
  const parameters = list.flatMap((entry, index) => {
    const parameter = column.parameterOf(entry);
    if (parameter === undefined) {
      faults.add(Array.isArray(value) ? `${path}[${index}]` : path, `must be ${column.expected}`);
    }
    return parameter ?? [];
  });
  if (Array.isArray(value)) return [sql`${column.ref} = ANY (${parameters}::${column.type}[])`];
  return parameters.map((parameter) => sql`${column.ref} = ${typed(column, parameter)}`);
};

/** Big numbers in words of JSON. */
const written = (value: unknown): unknown => {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(written);
  if (!isComparison(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, written(inner)]));
};

const notDeleted = ({ ref, kindName }: Column): RawBuilder<unknown> =>
  kindName === 'boolean' ? sql`${ref} IS NOT TRUE` : sql`${ref} IS NULL`;

/**
 * Reads a filter. Rows that are marked as deleted never match, unless `withDeleted`. Faults are noted with paths such as
 * `where.price.gte`.
 */
export const readWhere = (
  table: TableDefinition<Columns>,
  where: unknown,
  { faults, withDeleted = false }: { readonly faults: Faults; readonly withDeleted?: boolean | undefined },
): Condition => {
  const conditions = fieldsOf(where, 'where', faults).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const column = columnNamed(table, name, `where.${name}`, faults);
    return column ? conditionsOn(column, value, `where.${name}`, faults) : [];
  });
  if (table.softDelete && !withDeleted) conditions.push(notDeleted(table.softDelete));
  return {
    sql: conditions.length === 0 ? sql<boolean>`true` : sql<boolean>`${sql.join(conditions, sql` AND `)}`,
    scope: () => [written(where ?? {}), withDeleted],
  };
};
