import { z } from 'zod';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';

/** Values of one row of another table: `on` says which of its columns equal which of the index's table. */
export interface OneJoin {
  /** `schema.table`. */
  readonly table: string;
  /** Column of the joined table: column of the index's table. */
  readonly on: Readonly<Record<string, string>>;
  /** Field of the index: column of the joined table. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Values of one column of any number of rows, as an array; perhaps by way of a table of links between the two. */
export interface ManyJoin {
  /** `schema.table`. */
  readonly table: string;
  /** Column of the joined table: column of the table of links, or without one of the index's table. */
  readonly on: Readonly<Record<string, string>>;
  readonly through?:
    | {
        /** `schema.table`. */
        readonly table: string;
        /** Column of the table of links: column of the index's table. */
        readonly on: Readonly<Record<string, string>>;
      }
    | undefined;
  /** Of the joined table. */
  readonly column: string;
}

export interface AppIndexDefinition {
  /** Lower case letters, digits and dashes: the alias to search is `<name>-live`. */
  readonly name: string;
  /** `schema.table`: one document a row. */
  readonly table: string;
  /** The column that names a row, within its workspace if there are workspaces; `id` by default. */
  readonly id?: string;
  /** The column that says whose the row is; without one all documents are in one space. */
  readonly workspace?: string | undefined;
  /** Field of the index: column of the table. */
  readonly fields: Readonly<Record<string, string>>;
  /** Rows that a row points at, by a name of your own. */
  readonly one?: Readonly<Record<string, OneJoin>>;
  /** Rows that point at a row, by the field that holds their values. */
  readonly many?: Readonly<Record<string, ManyJoin>>;
  /** Fields whose texts are embedded: the index then has `chunks` with vectors. The ids must be UUIDs. */
  readonly embed?: readonly string[];
  /** As Elasticsearch takes it: a property for each field. */
  readonly mapping: Readonly<Record<string, object>>;
  /** Settings of the index, such as analyzers. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
}

/** What {@link defineIndex} answers. */
export type AppIndex = Required<Omit<AppIndexDefinition, 'workspace' | 'settings'>> &
  Pick<AppIndexDefinition, 'workspace' | 'settings'>;

const own = new Set(['id', 'workspace_id', 'version', 'content_hash', 'deleted_at', 'chunks']);
const reserved = new Set(['knowledge', 'searches']);

const column = z.string().min(1).max(63);
const tableName = z
  .string()
  .regex(/^[^.\s]{1,63}\.[^.\s]{1,63}$/, 'must be schema.table')
  .refine((name) => !name.startsWith('treadle.'), "must not be one of Treadle's own tables");
const field = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,99}$/, 'must be lower case letters, digits and underscores')
  .refine((name) => !own.has(name), 'is a field that every index has');
const columns = z.record(column, column).refine((on) => Object.keys(on).length > 0, 'must name a column');

const shape = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,49}$/, 'must be lower case letters, digits and dashes')
      .refine((name) => !reserved.has(name) && !/-(?:live|building)$/.test(name), 'is a name that Treadle uses itself'),
    table: tableName,
    id: column.default('id'),
    workspace: column.optional(),
    fields: z.record(field, column),
    one: z
      .record(field, z.strictObject({ table: tableName, on: columns, fields: z.record(field, column) }))
      .default({}),
    many: z
      .record(
        field,
        z.strictObject({
          table: tableName,
          on: columns,
          through: z.strictObject({ table: tableName, on: columns }).optional(),
          column,
        }),
      )
      .default({}),
    embed: z.array(field).default([]),
    mapping: z.record(field, z.looseObject({})),
    settings: z.record(z.string(), z.unknown()).optional(),
  })
  .superRefine((given, context) => {
    const fields = [
      ...Object.keys(given.fields),
      ...Object.values(given.one).flatMap((join) => Object.keys(join.fields)),
      ...Object.keys(given.many),
    ];
    const fault = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    for (const [index, name] of fields.entries()) {
      if (fields.indexOf(name) !== index) fault('fields', `${name} is given twice`);
      if (!(name in given.mapping)) fault('mapping', `has no property ${name}`);
    }
    for (const name of Object.keys(given.mapping)) if (!fields.includes(name)) fault('fields', `has no field ${name}`);
    for (const name of given.embed) if (!(name in given.fields)) fault('embed', `${name} is no field of the table`);
    if (fields.length === 0) fault('fields', 'must name a field');
  });

/**
 * An index of Elasticsearch over an app's own tables, kept equal to them by the change stream. To be the default export of
 * a module that TREADLE_INDEXES names, alone or in an array.
 * @throws AppError VALIDATION_ERROR naming every fault.
 */
export const defineIndex = (definition: AppIndexDefinition): AppIndex =>
  Object.freeze(parseOrThrow(shape, definition, `the index ${JSON.stringify(definition.name)}`));

/** Whether a value is what {@link defineIndex} answers. */
export const isAppIndex = (value: unknown): value is AppIndex => shape.safeParse(value).success;
