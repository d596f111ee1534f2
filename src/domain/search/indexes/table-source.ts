import type { estypes } from '@elastic/elasticsearch';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { ReadColumn, Watch } from '../../../lib/replication/watch.ts';
import type { AppIndex } from '../define-index.ts';
import { chunksMapping, type IndexedModel } from '../elasticsearch/definition.ts';
import { chunksJson, vectorsIn } from '../elasticsearch/vector-json.ts';
import { isKey, isLarge, isStreamed } from './column-json.ts';
import { completeDefinition, type IndexDefinition } from './index-definition.ts';
import { documentHead, sourceDocument } from './index-document.ts';
import type { DocumentKey, IndexSource, SourceDocument, SourceTable } from './index-source.ts';
import { quote, readCatalog, refuse, split, sqlName, type Catalog } from './table-catalog.ts';
import { allFields, allShown, placeColumn, vectorKindOf, type ReadField, type Shown } from './table-joins.ts';

/** Of a page. */
const mostDocuments = { scanned: 250, asked: 2_000 };
const mostBytes = 8 * 1_048_576;

const textOf = (row: ReadColumn, column: string): string => row(column) ?? '';

/** Whether the stream carries all that a document is made of. */
const isCarried = ({ table, fields, one, many, embed }: AppIndex, { columnOf }: Catalog): boolean =>
  Object.keys(one).length + Object.keys(many).length + embed.length === 0 &&
  Object.values(fields)
    .map((column) => columnOf(table, column))
    .every(({ kind, isGenerated }) => isStreamed(kind) && !isGenerated);

const sizeColumn = '"treadle:size"';
const beforeColumn = '"treadle:before"';

/** What of the index's own table is read. */
const columnsOf = ({ id, workspace, fields, one, many }: AppIndex): readonly string[] => {
  const joins = [...Object.values(one), ...Object.values(many).map((join) => join.through ?? join)];
  const joined = joins.flatMap(({ on }) => Object.values(on));
  return [...new Set([id, ...(workspace === undefined ? [] : [workspace]), ...Object.values(fields), ...joined])];
};

/** A field, and how its JSON begins in a document. */
interface WrittenField extends ReadField {
  readonly head: string;
}

/** Documents made of the rows of an app's own table. */
export class TableSource implements IndexSource {
  readonly name: string;
  readonly definition: IndexDefinition;
  readonly hasWorkspaces: boolean;
  readonly tables: readonly SourceTable[];
  readonly watches: readonly Watch[];
  readonly documentOf?: (row: ReadColumn) => SourceDocument | undefined;
  readonly index: AppIndex;
  readonly #catalog: Catalog;
  readonly #fields: readonly WrittenField[];
  readonly #columns: readonly string[];
  /** Of the table: fields, keys, and what joins are on. */
  readonly #read: readonly string[];
  readonly #shown: readonly Shown[];
  readonly #model: IndexedModel;

  private constructor(index: AppIndex, catalog: Catalog, model: IndexedModel, prefix: string) {
    this.name = index.name;
    this.index = index;
    this.hasWorkspaces = index.workspace !== undefined;
    this.#catalog = catalog;
    this.#model = model;
    this.#shown = allShown(index, catalog);
    this.#fields = allFields(index, catalog).map((field) => ({ ...field, head: `,${JSON.stringify(field.name)}:` }));
    this.#columns = Object.values(index.fields);
    this.#read = columnsOf(index);
    this.definition = this.#define(prefix);
    const carriesRows = isCarried(index, catalog);
    this.watches = this.#watch(carriesRows);
    this.tables = this.#publish();
    if (carriesRows) this.documentOf = (row) => this.#fromRow(row);
  }

  /**
   * Looks at the tables.
   * @throws AppError CONFIGURATION_ERROR for a table or column that is not there, or is not of a kind that can be followed,
   * and for ids that are no UUIDs where texts are embedded.
   */
  static async open(db: Queryable, index: AppIndex, model: IndexedModel, prefix: string): Promise<TableSource> {
    const catalog = await readCatalog(db, index);
    const { table, id, workspace, embed, name } = index;
    for (const column of workspace === undefined ? [id] : [id, workspace]) {
      const { kind, type, isGenerated } = catalog.columnOf(table, column);
      if (!isKey(kind)) throw refuse(name, `${table}.${column} is ${type}: keys are uuids, numbers or texts`);
      if (isGenerated) throw refuse(name, `${table}.${column} is generated, and the change stream does not carry it`);
    }
    const { type } = catalog.columnOf(table, id);
    if (embed.length > 0 && type !== 'uuid') {
      throw refuse(name, `embed needs a column of uuids, and ${table}.${id} is ${type}`);
    }
    return new TableSource(index, catalog, model, prefix);
  }

  /** As an entity of embeddings. */
  get entityType(): string {
    return `index:${this.name}`;
  }

  async *read(db: Queryable, keys: readonly DocumentKey[]): AsyncIterable<readonly SourceDocument[]> {
    const { id, workspace } = this.index;
    const joined = `JOIN unnest($1::text[]::${this.#type(id)}[]${workspace === undefined ? '' : `, $2::text[]::${this.#type(workspace)}[]`}) AS k (id${workspace === undefined ? '' : ', ws'})
      ON m.${quote(id)} = k.id${workspace === undefined ? '' : ` AND m.${quote(workspace)} = k.ws`}`;
    for (let left = keys; left.length > 0;) {
      const values = [
        left.map((key) => key.id),
        ...(workspace === undefined ? [] : [left.map((key) => key.workspaceId)]),
      ];
      const page = await this.#select(db, joined, 'true', values, mostDocuments.asked);
      if (page.length === 0) return;
      yield page;
      const found = new Set(page.map((one) => `${one.workspaceId}\0${one.id}`));
      left = page.length === left.length ? [] : left.filter((key) => !found.has(`${key.workspaceId}\0${key.id}`));
    }
  }

  scan(db: Queryable, after: DocumentKey | undefined): Promise<readonly SourceDocument[]> {
    if (after === undefined) return this.#select(db, '', 'true', []);
    const { id, workspace } = this.index;
    if (workspace === undefined || this.#catalog.idIsUnique) {
      return this.#select(db, '', `m.${quote(id)} > $1::text::${this.#type(id)}`, [after.id]);
    }
    const behind = `(m.${quote(workspace)}, m.${quote(id)}) > ($1::text::${this.#type(workspace)}, $2::text::${this.#type(id)})`;
    return this.#select(db, '', behind, [after.workspaceId, after.id]);
  }

  /**
   * What is embedded of the row with this id, in whichever workspace it is by now, and when it was read; undefined: there is
   * no such row.
   */
  async textOf(db: Queryable, id: string): Promise<{ readonly text: string; readonly version: number } | undefined> {
    const { table, fields, embed } = this.index;
    const texts = embed.map((name) => `m.${quote(fields[name] ?? '')}::text`);
    const { rows } = await db.query<{ text: string; version: number }>(
      `SELECT concat_ws(E'\n\n', ${texts.join(', ')}) AS text, extract(epoch FROM statement_timestamp())::integer AS version
       FROM ${sqlName(table)} AS m WHERE m.${quote(this.index.id)} = $1::uuid LIMIT 1`,
      [id],
    );
    return rows[0];
  }

  /** Keys of rows that are gone and have embeddings still. */
  async embeddedWithoutRow(db: Queryable): Promise<readonly DocumentKey[]> {
    const { table, id } = this.index;
    const { rows } = await db.query<{ id: string }>(
      `SELECT DISTINCT e.entity_id::text AS id FROM treadle.embedded_entities AS e
       WHERE e.entity_type = $1 AND NOT EXISTS (SELECT FROM ${sqlName(table)} AS m WHERE m.${quote(id)} = e.entity_id)`,
      [this.entityType],
    );
    return rows.map((row) => ({ workspaceId: '', id: row.id }));
  }

  async absent(db: Queryable, keys: readonly DocumentKey[]): Promise<readonly DocumentKey[]> {
    const found = new Set<string>();
    for await (const page of this.read(db, keys)) for (const one of page) found.add(`${one.workspaceId}\0${one.id}`);
    return keys.filter((key) => !found.has(`${key.workspaceId}\0${key.id}`));
  }

  async count(db: Queryable): Promise<number> {
    const { rows } = await db.query<{ count: number }>(`SELECT count(*) AS count FROM ${sqlName(this.index.table)}`);
    return rows[0]?.count ?? 0;
  }

  async showing(
    db: Queryable,
    kind: string,
    ids: readonly string[],
    after: DocumentKey | undefined,
  ): Promise<readonly DocumentKey[]> {
    const shown = this.#shown.find((one) => one.kind === kind);
    if (!shown) throw new Error(`${this.name} shows no ${kind}`);
    const { id, workspace, table } = this.index;
    const keyed = `m.${quote(id)}`;
    const order = workspace === undefined ? keyed : `m.${quote(workspace)}, ${keyed}`;
    const behind =
      after === undefined
        ? ''
        : workspace === undefined
          ? `AND ${keyed} > $2::text::${this.#type(id)}`
          : `AND (m.${quote(workspace)}, ${keyed}) > ($2::text::${this.#type(workspace)}, $3::text::${this.#type(id)})`;
    const values =
      after === undefined ? [ids] : workspace === undefined ? [ids, after.id] : [ids, after.workspaceId, after.id];
    const { rows } = await db.query<{ id: string; ws: string | null }>(
      `SELECT ${keyed}::text AS id, ${workspace === undefined ? 'NULL' : `m.${quote(workspace)}::text`} AS ws FROM ${sqlName(table)} AS m
       WHERE ${shown.showing} AND ${this.#isKeyed} ${behind} ORDER BY ${order} LIMIT 1000`,
      values,
    );
    return rows.map((row) => ({ workspaceId: row.ws ?? '', id: row.id }));
  }

  /** Rows without a key, or of no workspace, are no documents. */
  get #isKeyed(): string {
    const { id, workspace } = this.index;
    return [id, ...(workspace === undefined ? [] : [workspace])]
      .map((column) => `m.${quote(column)} IS NOT NULL`)
      .join(' AND ');
  }

  #type(column: string): string {
    return this.#catalog.columnOf(this.index.table, column).type;
  }

  async #select(
    db: Queryable,
    joined: string,
    where: string,
    values: readonly unknown[],
    limit = mostDocuments.scanned,
  ): Promise<readonly SourceDocument[]> {
    const { id, workspace, table, embed } = this.index;
    const order =
      workspace === undefined || this.#catalog.idIsUnique ? `m.${quote(id)}` : `m.${quote(workspace)}, m.${quote(id)}`;
    const vectors = embed.length === 0 ? '' : `, ${this.#vectors(values.length)} AS vectors`;
    // Places and sizes first, so that large values are not read of rows that do not fit.
    const { rows } = await db.query<Record<string, string | null>>(
      `WITH found AS (
         SELECT ${this.#read.map((column) => `m.${quote(column)}`).join(', ')}, m.ctid AS ${placeColumn}, ${this.#sizes} AS ${sizeColumn}
         FROM ${sqlName(table)} AS m ${joined} WHERE ${where} AND ${this.#isKeyed} ORDER BY ${order} LIMIT ${limit}
       ), page AS MATERIALIZED (
         SELECT * FROM (SELECT m.*, sum(${sizeColumn}) OVER (ORDER BY ${order}) - ${sizeColumn} AS ${beforeColumn} FROM found AS m) AS m
         WHERE ${beforeColumn} < ${mostBytes}
       )
       SELECT m.${quote(id)}::text AS id, ${workspace === undefined ? "''" : `m.${quote(workspace)}::text`} AS ws,
         ${this.#fields.map(({ expression }, place) => `${expression} AS f${place}`).join(', ')}${vectors}
       FROM page AS m ${this.#gathered} ORDER BY ${order}`,
      embed.length === 0 ? [...values] : [...values, this.#model.model, this.#model.dimensions, this.entityType],
    );
    return rows.map((row) => {
      const key = { workspaceId: row['ws'] ?? '', id: row['id'] ?? '' };
      const fields = this.#fields.map(({ json, head }, place) => head + json(row[`f${place}`] ?? null));
      if (embed.length > 0) {
        const chunks = vectorsIn(row['vectors'] ?? null).map((vector) => ({ opening: '', vector }));
        fields.push(`,"chunks":${chunksJson(chunks)}`);
      }
      return this.#document(key, fields);
    });
  }

  /** About how many bytes a row takes, without reading its large values. */
  get #sizes(): string {
    const large = this.#read.filter((column) => isLarge(this.#catalog.columnOf(this.index.table, column).kind));
    return ['64', ...large.map((column) => `coalesce(pg_column_size(m.${quote(column)}), 0)`)].join(' + ');
  }

  get #gathered(): string {
    // Several fields may be of one join.
    return [...new Set(this.#fields.flatMap(({ gathered }) => gathered ?? []))]
      .map(({ alias, select }) => `LEFT JOIN (${select}) AS ${alias} ON ${alias}.place = m.${placeColumn}`)
      .join(' ');
  }

  #vectors(before: number): string {
    return `(SELECT string_agg(e.vector::real[]::text, ' ' ORDER BY e.chunk_index)
      FROM treadle.embeddings AS e WHERE e.entity_type = $${before + 3} AND e.entity_id = m.${quote(this.index.id)}
        AND e.model = $${before + 1} AND e.dimensions = $${before + 2}::integer)`;
  }

  /** Undefined when the stream did not tell a column, such as one that was dropped: the row has to be read again. */
  #fromRow(row: ReadColumn): SourceDocument | undefined {
    const { id, workspace } = this.index;
    const key = { workspaceId: workspace === undefined ? '' : textOf(row, workspace), id: textOf(row, id) };
    const fields: string[] = [];
    for (const [place, { head, json }] of this.#fields.entries()) {
      const value = row(this.#columns[place] ?? '');
      if (value === undefined) return undefined;
      fields.push(head + json(value));
    }
    return this.#document(key, fields);
  }

  #document(key: DocumentKey, fields: readonly string[]): SourceDocument {
    return sourceDocument(key, `${documentHead(key).slice(0, -1)}${fields.join('')}}`);
  }

  #define(prefix: string): IndexDefinition {
    const { name, mapping, settings, embed, table, id, workspace, fields, one, many } = this.index;
    return completeDefinition({
      name,
      prefix,
      content: [table, id, workspace, fields, one, many, embed],
      settings: { auto_expand_replicas: '0-1', ...settings },
      mappings: {
        // What an app gives Elasticsearch is Elasticsearch's to judge.
        properties: {
          ...(mapping as Record<string, estypes.MappingProperty>),
          ...(embed.length === 0 ? {} : { chunks: chunksMapping(this.#model.dimensions) }),
        },
        ...(embed.length === 0 ? {} : { _source: { excludes: ['chunks.vector'] } }),
      },
    });
  }

  #watch(carriesRows: boolean): readonly Watch[] {
    const { table, id, workspace, embed, name } = this.index;
    const main: Watch = {
      ...split(table),
      kinds: [name],
      carriesRows,
      entitiesOf: (row) => {
        const workspaceId = workspace === undefined ? '' : row(workspace);
        const key = row(id);
        return workspaceId == null || key == null ? [] : [{ kind: name, workspaceId, id: key }];
      },
    };
    const vectorKind = vectorKindOf(this.index);
    const others = this.#shown
      .filter(({ kind }) => kind !== vectorKind)
      .map(({ kind, table: shown, columns }): Watch => ({
        ...split(shown),
        kinds: [name],
        entitiesOf: (row) => {
          const values = columns.map((column) => row(column));
          return values.some((value) => value == null) ? [] : [{ kind, workspaceId: '', id: JSON.stringify(values) }];
        },
      }));
    const vectors: Watch = {
      schema: 'treadle',
      table: 'embedded_entities',
      kinds: [name],
      entitiesOf: (row) =>
        row('entity_type') === this.entityType
          ? [{ kind: vectorKind, workspaceId: '', id: JSON.stringify([textOf(row, 'entity_id')]) }]
          : [],
    };
    return [main, ...others, ...(embed.length === 0 ? [] : [vectors])];
  }

  #publish(): readonly SourceTable[] {
    const { table, id, workspace, fields } = this.index;
    const own = [id, ...(workspace === undefined ? [] : [workspace])];
    return [
      { ...split(table), identity: own, columns: [...own, ...Object.values(fields)] },
      ...this.#shown.map(({ table: shown, columns }) => ({ ...split(shown), identity: columns, columns })),
    ];
  }
}
