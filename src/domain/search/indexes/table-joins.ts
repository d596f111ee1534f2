import { z } from 'zod';
import type { AppIndex, ManyJoin, OneJoin } from '../define-index.ts';
import { jsonOfText, selectOf } from './column-json.ts';
import { quote, sqlName, type Catalog } from './table-catalog.ts';

/** A field of the documents, and the expression that reads it. */
export interface ReadField {
  readonly name: string;
  readonly expression: string;
  /** The JSON of what it reads. */
  readonly json: (text: string | null) => string;
}

const equal = (on: Readonly<Record<string, string>>, joined: string, main: string): string =>
  Object.entries(on)
    .map(([theirs, ours]) => `${joined}.${quote(theirs)} = ${main}.${quote(ours)}`)
    .join(' AND ');

/** The row of the index's table is `m`. */
const oneFields = (catalog: Catalog, { table, on, fields }: OneJoin): readonly ReadField[] =>
  Object.entries(fields).map(([name, column]) => {
    const { kind, type } = catalog.columnOf(table, column);
    const value = selectOf(kind, `j.${quote(column)}`, type);
    return {
      name,
      json: (text) => jsonOfText(kind, text),
      expression: `(SELECT ${value} FROM ${sqlName(table)} AS j WHERE ${equal(on, 'j', 'm')} LIMIT 1)`,
    };
  });

const texts = z.array(z.string().nullable());

const manyField = (catalog: Catalog, name: string, { table, on, through, column }: ManyJoin): ReadField => {
  const { kind, type } = catalog.columnOf(table, column);
  const value = selectOf(kind, `j.${quote(column)}`, type);
  const from = through
    ? `${sqlName(through.table)} AS t JOIN ${sqlName(table)} AS j ON ${equal(on, 'j', 't')} WHERE ${equal(through.on, 't', 'm')}`
    : `${sqlName(table)} AS j WHERE ${equal(on, 'j', 'm')}`;
  return {
    name,
    json: (text) =>
      `[${texts
        .parse(JSON.parse(text ?? '[]'))
        .map((one) => jsonOfText(kind, one))
        .join()}]`,
    expression: `(SELECT json_agg(value ORDER BY value COLLATE "C")::text FROM (SELECT ${value} AS value FROM ${from}) AS found)`,
  };
};

/** A table whose rows documents show, and which documents those are. */
export interface Shown {
  readonly kind: string;
  readonly table: string;
  /** Of the table: what a changed row is told by. */
  readonly columns: readonly string[];
  /** Whether a row `m` of the index's table shows rows of these, which may be gone by now. */
  readonly showing: string;
}

/** Compares expressions with the values told of changed rows, each in one JSON array, as the columns they come from. */
const isAmong = (compared: readonly string[], types: readonly string[]): string =>
  `(${compared.join(', ')}) IN (
    SELECT ${types.map((type, place) => `(key ->> ${place})::${type}`).join(', ')}
    FROM unnest($1::text[]) AS given (text), LATERAL (SELECT given.text::jsonb AS key) AS parsed)`;

/** The table that a join is on, as the statement calls it. */
interface Owner {
  readonly alias: string;
  readonly table: string;
}

/** Rows of a table whose columns equal columns of `owner`. */
const shownBy = (
  catalog: Catalog,
  kind: string,
  { table, on }: { readonly table: string; readonly on: Readonly<Record<string, string>> },
  owner: Owner,
): Shown => {
  for (const column of Object.values(on)) catalog.columnOf(owner.table, column);
  return {
    kind,
    table,
    columns: Object.keys(on),
    showing: isAmong(
      Object.values(on).map((column) => `${owner.alias}.${quote(column)}`),
      Object.keys(on).map((column) => catalog.columnOf(table, column).type),
    ),
  };
};

const shownByMany = (catalog: Catalog, kind: string, { through, ...join }: ManyJoin, main: Owner): readonly Shown[] => {
  if (!through) return [shownBy(catalog, kind, join, main)];
  const linked = shownBy(catalog, kind, join, { alias: 't', table: through.table });
  const links = `${sqlName(through.table)} AS t WHERE ${equal(through.on, 't', 'm')}`;
  return [
    { ...linked, showing: `EXISTS (SELECT FROM ${links} AND ${linked.showing})` },
    shownBy(catalog, `${kind}/link`, through, main),
  ];
};

/** The kind of an index's vectors in the change stream. */
export const vectorKindOf = (index: AppIndex): string => `${index.name}/vector`;

/** Every table but the index's own. */
export const allShown = (index: AppIndex, catalog: Catalog): readonly Shown[] => {
  const main = { alias: 'm', table: index.table };
  const own = { table: index.table, on: { [index.id]: index.id } };
  return [
    ...Object.entries(index.one).map(([name, join]) => shownBy(catalog, `${index.name}/one/${name}`, join, main)),
    ...Object.entries(index.many).flatMap(([name, join]) =>
      shownByMany(catalog, `${index.name}/many/${name}`, join, main),
    ),
    // The row's vectors, by the id that is the row's own.
    ...(index.embed.length === 0 ? [] : [shownBy(catalog, vectorKindOf(index), own, main)]),
  ];
};

/** The fields of the documents: of the table itself, and of those that are joined to it. */
export const allFields = (index: AppIndex, catalog: Catalog): readonly ReadField[] => [
  ...Object.entries(index.fields).map(([name, column]): ReadField => {
    const { kind, type } = catalog.columnOf(index.table, column);
    return { name, json: (text) => jsonOfText(kind, text), expression: selectOf(kind, `m.${quote(column)}`, type) };
  }),
  ...Object.values(index.one).flatMap((join) => oneFields(catalog, join)),
  ...Object.entries(index.many).map(([name, join]) => manyField(catalog, name, join)),
];
