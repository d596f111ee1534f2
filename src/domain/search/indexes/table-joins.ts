import { z } from 'zod';
import type { AppIndex, ManyJoin, OneJoin } from '../define-index.ts';
import { jsonOfText, selectOf, type ColumnKind } from './column-json.ts';
import { quote, sqlName, type Catalog } from './table-catalog.ts';

/** A field of the documents, and the expression that reads it. Rows of the index's table are `m`, of the pages `page`. */
export interface ReadField {
  readonly name: string;
  readonly expression: string;
  /** What expressions read, gathered for all rows of a page at once, by their places; joined to `m` as `alias`. */
  readonly gathered?: { readonly alias: string; readonly select: string };
  /** The JSON of what it reads. */
  readonly json: (text: string | null) => string;
}

const equal = (on: Readonly<Record<string, string>>, joined: string, main: string): string =>
  Object.entries(on)
    .map(([theirs, ours]) => `${joined}.${quote(theirs)} = ${main}.${quote(ours)}`)
    .join(' AND ');

/** Where a row lies: a name that no column of an app has by chance. */
export const placeColumn = '"treadle:place"';

const oneFields = (catalog: Catalog, place: number, { table, on, fields }: OneJoin): readonly ReadField[] => {
  const alias = `one${place}`;
  const columns = Object.entries(fields).map(([name, column], index) => ({
    name,
    as: `v${index}`,
    ...catalog.columnOf(table, column),
    column,
  }));
  const values = columns.map(({ kind, type, column, as }) => `${selectOf(kind, `j.${quote(column)}`, type)} AS ${as}`);
  const gathered = {
    alias,
    select: `SELECT DISTINCT ON (m.${placeColumn}) m.${placeColumn} AS place, ${values.join(', ')}
      FROM page AS m JOIN ${sqlName(table)} AS j ON ${equal(on, 'j', 'm')} ORDER BY m.${placeColumn}`,
  };
  return columns.map(({ name, as, kind }) => ({
    name,
    gathered,
    json: (text) => jsonOfText(kind, text),
    expression: `${alias}.${as}`,
  }));
};

const texts = z.array(z.string().nullable());

const manyJson = (kind: ColumnKind, text: string | null): string => {
  if (text === null) return '[]';
  // As it stands it is what would be made of it.
  if (kind === 'text') return text;
  const values = texts.parse(JSON.parse(text));
  return `[${values.map((one) => jsonOfText(kind, one)).join()}]`;
};

const manyField = (
  catalog: Catalog,
  place: number,
  [name, { table, on, through, column }]: readonly [string, ManyJoin],
): ReadField => {
  const { kind, type } = catalog.columnOf(table, column);
  const value = selectOf(kind, `j.${quote(column)}`, type);
  // OFFSET 0: by an index for each row. How few rows a page has is not known to the planner, which would read whole tables.
  const rowsOf = (ofTable: string, by: Readonly<Record<string, string>>): string =>
    `(SELECT m.${placeColumn}, each.* FROM page AS m
       CROSS JOIN LATERAL (SELECT * FROM ${sqlName(ofTable)} AS t WHERE ${equal(by, 't', 'm')} OFFSET 0) AS each OFFSET 0)`;
  const found = through
    ? `${rowsOf(through.table, through.on)} AS t JOIN ${sqlName(table)} AS j ON ${equal(on, 'j', 't')}`
    : `${rowsOf(table, on)} AS j`;
  const alias = `many${place}`;
  return {
    name,
    json: (text) => manyJson(kind, text),
    expression: `${alias}.found`,
    gathered: {
      alias,
      select: `SELECT place, json_agg(value ORDER BY value COLLATE "C")::text AS found
        FROM (SELECT ${placeColumn} AS place, ${value} AS value FROM ${found}) AS each GROUP BY place`,
    },
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
  ...Object.values(index.one).flatMap((join, place) => oneFields(catalog, place, join)),
  ...Object.entries(index.many).map((join, place) => manyField(catalog, place, join)),
];
