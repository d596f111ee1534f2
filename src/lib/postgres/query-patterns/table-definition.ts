import { sql, type RawBuilder } from 'kysely';
import { z } from 'zod';
import { parseOrThrow } from '../../errors/zod-faults.ts';
import { columnKinds, kinds, type ColumnKind, type Kind, type KindInputs, type KindValues } from './column-kinds.ts';

/** A column: its kind alone, or with `nullable`. */
export type ColumnDefinition = ColumnKind | { readonly kind: ColumnKind; readonly nullable?: boolean };
export type Columns = Readonly<Record<string, ColumnDefinition>>;

export type KindOf<D extends ColumnDefinition> = D extends { readonly kind: infer K extends ColumnKind }
  ? K
  : D extends ColumnKind
    ? D
    : never;
type NullOf<D extends ColumnDefinition> = D extends { readonly nullable: true } ? null : never;

/** A row of a table with these columns. */
export type RowOf<C extends Columns> = { readonly [Name in keyof C]: KindValues[KindOf<C[Name]>] | NullOf<C[Name]> };

/** What a caller may give for a column; null where it has it. */
export type InputOf<D extends ColumnDefinition> = KindInputs[KindOf<D>] | NullOf<D>;

export interface TableInput<C extends Columns> {
  /** `public` by default. */
  readonly schema?: string;
  readonly name: string;
  readonly columns: C;
  /** Breaks ties in every order. Never null. */
  readonly primaryKey: readonly (keyof C & string)[];
  /**
   * Marks rows that are deleted: a `timestamptz` that is null while they are not, or a `boolean`. Such rows are not read,
   * updated or counted.
   */
  readonly softDelete?: keyof C & string;
}

export interface Column extends Kind {
  readonly name: string;
  readonly kindName: ColumnKind;
  readonly nullable: boolean;
  readonly ref: RawBuilder<unknown>;
  /** Of its kind in SQL. */
  readonly type: RawBuilder<unknown>;
}

/** A checked table; made by {@link defineTable}. Its names are quoted wherever they reach SQL. */
export interface TableDefinition<C extends Columns> {
  readonly schema: string;
  readonly name: string;
  readonly columns: ReadonlyMap<string, Column>;
  readonly primaryKey: readonly Column[];
  readonly softDelete: Column | undefined;
  readonly ref: RawBuilder<unknown>;
  /** Only for its type. */
  readonly row?: RowOf<C>;
}

const name = z
  .string()
  .regex(/^[A-Za-z_][\w$]*$/, 'must be a name of letters, digits and underscores')
  .max(63, 'must have at most 63 characters');
const kind = z.enum(columnKinds, { error: `must be ${columnKinds.join(', ')}` });
const column = z.union([
  kind.transform((given) => ({ kind: given, nullable: false })),
  z.strictObject({ kind, nullable: z.boolean().default(false) }),
]);

const definition = z
  .strictObject({
    schema: name.default('public'),
    name,
    columns: z.record(name, column),
    primaryKey: z.array(name).min(1, 'must name a column').max(16).readonly(),
    softDelete: name.optional(),
  })
  .superRefine(({ columns, primaryKey, softDelete }, context) => {
    const fault = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    for (const [index, key] of primaryKey.entries()) {
      const own = Object.hasOwn(columns, key) ? columns[key] : undefined;
      if (!own) fault(['primaryKey', index], 'is not a column of the table');
      else if (own.nullable || !kinds[own.kind].ordered) fault(['primaryKey', index], 'cannot be a primary key');
    }
    if (softDelete === undefined) return;
    const mark = columns[softDelete];
    const fits = mark?.kind === 'boolean' || (mark?.kind === 'timestamptz' && mark.nullable);
    if (!fits) fault(['softDelete'], 'must be a boolean column, or a timestamptz that may be null');
  });

/**
 * Describes a table, of an app or of Treadle, for query patterns. It may have more columns than are named here.
 * @throws AppError VALIDATION_ERROR naming every fault.
 */
export const defineTable = <const C extends Columns>(input: TableInput<C>): TableDefinition<C> => {
  const table = parseOrThrow(definition, input, 'the table');
  const columns = new Map(
    Object.entries(table.columns).map(([columnName, { kind: kindName, nullable }]): [string, Column] => [
      columnName,
      {
        ...kinds[kindName],
        name: columnName,
        kindName,
        nullable,
        ref: sql.id(columnName),
        type: sql.raw(kindName === 'double' ? 'double precision' : kindName),
      },
    ]),
  );
  return {
    schema: table.schema,
    name: table.name,
    columns,
    primaryKey: table.primaryKey.flatMap((key) => columns.get(key) ?? []),
    softDelete: table.softDelete === undefined ? undefined : columns.get(table.softDelete),
    ref: sql.id(table.schema, table.name),
  };
};
