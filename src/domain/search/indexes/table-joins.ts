import type { AppIndex, ManyJoin, OneJoin } from '../define-index.ts';
import { selectOf, type ColumnKind } from './column-json.ts';
import { quote, sqlName, type Catalog, type Column } from './table-catalog.ts';

/** A field of the documents, and the expression that reads it. */
export interface ReadField {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly expression: string;
}

const equal = (on: Readonly<Record<string, string>>, joined: string, main: string): string =>
  Object.entries(on)
    .map(([theirs, ours]) => `${joined}.${quote(theirs)} = ${main}.${quote(ours)}`)
    .join(' AND ');

const jsonExpression = ({ kind, type }: Column, column: string): string =>
  kind === 'moment' || kind === 'day' || kind === 'padded'
    ? `to_json(${selectOf(kind, column, type)})`
    : `to_json(${column})`;

/** The row of the index's table is `m`. */
const oneFields = (catalog: Catalog, { table, on, fields }: OneJoin): readonly ReadField[] =>
  Object.entries(fields).map(([name, column]) => ({
    name,
    kind: 'json',
    expression: `(SELECT ${jsonExpression(catalog.columnOf(table, column), `j.${quote(column)}`)}::text FROM ${sqlName(table)} AS j WHERE ${equal(on, 'j', 'm')} LIMIT 1)`,
  }));

const manyField = (catalog: Catalog, name: string, { table, on, through, column }: ManyJoin): ReadField => {
  const value = jsonExpression(catalog.columnOf(table, column), `j.${quote(column)}`);
  const from = through
    ? `${sqlName(through.table)} AS t JOIN ${sqlName(table)} AS j ON ${equal(on, 'j', 't')} WHERE ${equal(through.on, 't', 'm')}`
    : `${sqlName(table)} AS j WHERE ${equal(on, 'j', 'm')}`;
  return {
    name,
    kind: 'json',
    expression: `(SELECT coalesce(json_agg(value ORDER BY value::text), '[]')::text FROM (SELECT ${value} AS value FROM ${from}) AS found)`,
  };
};

/** A table whose rows documents show, and which documents those are. */
export interface Shown {
  readonly kind: string;
  readonly table: string;
  readonly columns: readonly string[];
  readonly showing: string;
}

/** `from` brings the row `s`; its key columns are compared with texts, all of one row in one JSON array. */
const shownBy = (kind: string, table: string, columns: readonly string[], from: string, catalog: Catalog): Shown => ({
  kind,
  table,
  columns,
  showing: `(${columns.map((column) => `s.${quote(column)}`).join(', ')}) IN (
    SELECT ${columns.map((column, place) => `(key ->> ${place})::${catalog.columnOf(table, column).type}`).join(', ')}
    FROM unnest($1::text[]) AS given (text), LATERAL (SELECT given.text::jsonb AS key) AS parsed) AND ${from}`,
});

/** Every table but the index's own. */
export const allShown = (index: AppIndex, catalog: Catalog): readonly Shown[] => [
  ...Object.entries(index.one).map(([name, { table, on }]) =>
    shownBy(`${index.name}/${name}`, table, Object.keys(on), equal(on, 's', 'm'), catalog),
  ),
  ...Object.entries(index.many).flatMap(([name, { table, on, through }]) => {
    const columns = Object.keys(on);
    const kind = `${index.name}/${name}`;
    if (!through) return [shownBy(kind, table, columns, equal(on, 's', 'm'), catalog)];
    const linked = `EXISTS (SELECT FROM ${sqlName(through.table)} AS t WHERE ${equal(on, 's', 't')} AND ${equal(through.on, 't', 'm')})`;
    return [
      shownBy(kind, table, columns, linked, catalog),
      shownBy(`${kind}/link`, through.table, Object.keys(through.on), equal(through.on, 's', 'm'), catalog),
    ];
  }),
  // The row's vectors, by the id that is the row's own.
  ...(index.embed.length === 0
    ? []
    : [
        shownBy(
          `${index.name}/vector`,
          index.table,
          [index.id],
          `s.${quote(index.id)} = m.${quote(index.id)}`,
          catalog,
        ),
      ]),
];

/** The fields of the documents: of the table itself, and of those that are joined to it. */
export const allFields = (index: AppIndex, catalog: Catalog): readonly ReadField[] => [
  ...Object.entries(index.fields).map(([name, column]): ReadField => {
    const { kind, type } = catalog.columnOf(index.table, column);
    return { name, kind, expression: selectOf(kind, `m.${quote(column)}`, type) };
  }),
  ...Object.values(index.one).flatMap((join) => oneFields(catalog, join)),
  ...Object.entries(index.many).map(([name, join]) => manyField(catalog, name, join)),
];
