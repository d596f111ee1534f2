import { sql, type Kysely, type RawBuilder } from 'kysely';
import { z } from 'zod';
import type { DB } from '../schema.generated.ts';
import type { ColumnKind } from './column-kinds.ts';
import { Faults, columnNamed, fieldsOf, namesOf } from './column-list.ts';
import type { Column, Columns, KindOf, RowOf, TableDefinition } from './table-definition.ts';
import { readWhere, type Where } from './where.ts';

type Flags<C extends Columns> = { readonly [Name in keyof C]?: true | undefined };

export interface AggregateOptions<C extends Columns, G extends keyof C & string> {
  /** One row for each combination of their values; a single row without it. At most 10,000 rows. */
  readonly groupBy?: readonly G[] | undefined;
  readonly where?: Where<C> | undefined;
  readonly withDeleted?: boolean | undefined;
  readonly _count?: boolean | undefined;
  readonly _sum?: Flags<C> | undefined;
  readonly _avg?: Flags<C> | undefined;
  readonly _min?: Flags<C> | undefined;
  readonly _max?: Flags<C> | undefined;
}

/** Sums of whole numbers are exact; of decimals they are text. Null where no row has a value. */
type Sum<K extends ColumnKind> = K extends 'integer' | 'bigint' ? bigint : K extends 'numeric' ? string : number;

export type Aggregated<C extends Columns, G extends keyof C & string> = Pick<RowOf<C>, G> & {
  readonly _count?: number;
  readonly _sum?: { readonly [Name in keyof C]?: Sum<KindOf<C[Name]>> | null };
  readonly _avg?: { readonly [Name in keyof C]?: number | null };
  readonly _min?: { readonly [Name in keyof C]?: RowOf<C>[Name] | null };
  readonly _max?: { readonly [Name in keyof C]?: RowOf<C>[Name] | null };
};

const functions = ['_sum', '_avg', '_min', '_max'] as const;
type FunctionName = (typeof functions)[number];

/** One value of the answer: how it is asked for, where it goes, and what is made of its text. */
interface Output {
  readonly path: readonly [string] | readonly [FunctionName, string];
  readonly sql: RawBuilder<unknown>;
  readonly read: (text: string) => unknown;
}

/** An extreme has its column's kind, read as the column is. */
const reader = ({ kindName, fromText }: Column): ((text: string) => unknown) => {
  if (fromText) return fromText;
  if (kindName === 'integer' || kindName === 'double') return Number;
  if (kindName === 'boolean') return (text) => text === 'true';
  return kindName === 'timestamptz' ? (text) => new Date(text) : String;
};

const asText = (value: RawBuilder<unknown>): RawBuilder<unknown> => sql`to_jsonb(${value}) #>> '{}'`;

const outputOf = (name: FunctionName, column: Column): Output => {
  const { ref, kindName } = column;
  const path = [name, column.name] as const;
  if (name === '_sum') {
    const read = kindName === 'double' ? Number : kindName === 'numeric' ? String : BigInt;
    return { path, sql: asText(sql`sum(${ref})`), read };
  }
  if (name === '_avg') return { path, sql: asText(sql`avg(${ref})`), read: Number };
  const found =
    kindName === 'boolean'
      ? sql`${name === '_min' ? sql`bool_and` : sql`bool_or`}(${ref})`
      : kindName === 'uuid'
        ? sql`(array_agg(${ref} ORDER BY ${ref} ${name === '_min' ? sql`ASC` : sql`DESC`}))[1]`
        : sql`${name === '_min' ? sql`min` : sql`max`}(${ref})`;
  return { path, sql: asText(found), read: reader(column) };
};

const mostGroups = 10_000;

interface AnyAggregate {
  readonly groupBy?: readonly string[] | undefined;
  readonly where?: Readonly<Record<string, unknown>> | undefined;
  readonly withDeleted?: boolean | undefined;
  readonly _count?: boolean | undefined;
  readonly _sum?: Readonly<Record<string, unknown>> | undefined;
  readonly _avg?: Readonly<Record<string, unknown>> | undefined;
  readonly _min?: Readonly<Record<string, unknown>> | undefined;
  readonly _max?: Readonly<Record<string, unknown>> | undefined;
}

const readGroups = (table: TableDefinition<Columns>, groupBy: unknown, faults: Faults): readonly Column[] =>
  [...new Set(namesOf(groupBy, 'groupBy', faults))].flatMap((name, index) => {
    const column = columnNamed(table, name, `groupBy[${index}]`, faults);
    if (column?.ordered === false) faults.add(`groupBy[${index}]`, 'cannot be grouped by');
    return column ?? [];
  });

const readOutputs = (table: TableDefinition<Columns>, options: AnyAggregate, faults: Faults): readonly Output[] => {
  const count: readonly Output[] = options['_count']
    ? [{ path: ['_count'], sql: sql`count(*)::text`, read: Number }]
    : [];
  const others = functions.flatMap((name) =>
    fieldsOf(options[name], name, faults).flatMap(([columnName, wanted]) => {
      if (wanted !== true) return [];
      const path = `${name}.${columnName}`;
      const column = columnNamed(table, columnName, path, faults);
      if (!column) return [];
      const fits = name === '_sum' || name === '_avg' ? column.number : column.ordered;
      if (!fits) faults.add(path, 'has no such value');
      return fits ? [outputOf(name, column)] : [];
    }),
  );
  if (count.length + others.length === 0) faults.add('', 'must ask for _count, _sum, _avg, _min or _max');
  return [...count, ...others];
};

/** See QueryPatterns.aggregate. */
export const aggregate = async <C extends Columns, G extends keyof C & string>(
  db: Kysely<DB>,
  table: TableDefinition<C>,
  options: AggregateOptions<C, G>,
): Promise<readonly Aggregated<C, G>[]> => {
  const faults = new Faults('the aggregate');
  const groups = readGroups(table, options.groupBy, faults);
  const outputs = readOutputs(table, options, faults);
  const where = readWhere(table, options.where, { faults, withDeleted: options.withDeleted });
  faults.throwIfAny();
  const all: readonly Output[] = [
    ...groups.map((column): Output => ({ path: [column.name], sql: asText(column.ref), read: reader(column) })),
    ...outputs,
  ];
  const list = sql.join(groups.map(({ ref }) => ref));
  const grouping = groups.length === 0 ? sql`` : sql`GROUP BY ${list} ORDER BY ${list}`;
  const { rows } = await sql<{ readonly texts: readonly (string | null)[] }>`
    SELECT ARRAY[${sql.join(all.map((output) => output.sql))}]::text[] AS texts
    FROM ${table.ref} WHERE ${where.sql} ${grouping} LIMIT ${mostGroups}`.execute(db);
  const whole = z.custom<Aggregated<C, G>>();
  return rows.map(({ texts }) => whole.parse(rowOf(all, texts)));
};

const rowOf = (outputs: readonly Output[], texts: readonly (string | null)[]): Record<string, unknown> => {
  const row: Record<string, unknown> = {};
  const nested: Partial<Record<string, Record<string, unknown>>> = {};
  for (const [index, { path, read }] of outputs.entries()) {
    const text = texts[index] ?? null;
    const value = text === null ? null : read(text);
    const [first, second] = path;
    if (second === undefined) row[first] = value;
    else (nested[first] ??= {})[second] = value;
  }
  return { ...row, ...nested };
};
