import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { ReadColumn, Watch } from '../../../lib/replication/watch.ts';
import type { IndexDefinition } from '../indexes/index-definition.ts';
import type { DocumentKey, IndexSource, SourceDocument, SourceTable } from '../indexes/index-source.ts';
import { defineKnowledgeIndex, knowledgeIndexName, type IndexedModel } from './definition.ts';
import { knowledgeDocument } from './knowledge-document.ts';
import { readDocuments } from './read-documents.ts';

const kind = knowledgeIndexName;
const tagKind = `${kind}/tag`;
const authorKind = `${kind}/author`;
const schema = 'treadle';

const text = (row: ReadColumn, column: string): string => row(column) ?? '';

const watches: readonly Watch[] = [
  {
    schema,
    table: 'knowledge',
    kinds: [kind],
    entitiesOf: (row) => [{ kind, workspaceId: text(row, 'workspace_id'), id: text(row, 'id') }],
  },
  {
    schema,
    table: 'knowledge_tags',
    kinds: [kind],
    entitiesOf: (row) => [{ kind, workspaceId: text(row, 'workspace_id'), id: text(row, 'knowledge_id') }],
  },
  {
    schema,
    table: 'embedded_entities',
    kinds: [kind],
    // A deleted row does not tell its workspace.
    entitiesOf: (row) =>
      row('entity_type') === 'knowledge'
        ? [{ kind, workspaceId: row('workspace_id') ?? '', id: text(row, 'entity_id') }]
        : [],
  },
  {
    schema,
    table: 'tags',
    kinds: [kind],
    entitiesOf: (row) => [{ kind: tagKind, workspaceId: '', id: text(row, 'id') }],
  },
  {
    schema,
    table: 'users',
    kinds: [kind],
    entitiesOf: (row) => [{ kind: authorKind, workspaceId: '', id: text(row, 'id') }],
  },
];

/** Of embedded_entities the whole primary key is published: without its identity a row could not be changed any more. */
const tables: readonly SourceTable[] = [
  {
    schema,
    table: 'knowledge',
    identity: ['workspace_id', 'id'],
    columns: ['workspace_id', 'id'],
    published: ['workspace_id', 'id'],
  },
  { schema, table: 'knowledge_tags', identity: ['workspace_id', 'knowledge_id'], columns: ['tag_id'] },
  { schema, table: 'tags', identity: ['id'], columns: ['workspace_id', 'id'], published: ['workspace_id', 'id'] },
  { schema, table: 'users', identity: ['id'], columns: ['id'], published: ['id'] },
  {
    schema,
    table: 'embedded_entities',
    identity: ['entity_type', 'entity_id'],
    columns: ['workspace_id', 'entity_type', 'entity_id', 'model'],
    published: ['workspace_id', 'entity_type', 'entity_id', 'model'],
  },
];

/** Documents that show a tag, or an author, of these ids. */
const shown: Readonly<Record<string, string>> = {
  [tagKind]: `SELECT kt.workspace_id, kt.knowledge_id AS id FROM treadle.tags AS t
    JOIN treadle.knowledge_tags AS kt ON kt.workspace_id = t.workspace_id AND kt.tag_id = t.id WHERE t.id = ANY ($1::uuid[])`,
  [authorKind]: `SELECT k.workspace_id, k.id FROM treadle.workspace_members AS m
    JOIN treadle.knowledge AS k ON k.workspace_id = m.workspace_id AND k.author_id = m.user_id WHERE m.user_id = ANY ($1::uuid[])`,
};

const keysOf = (rows: readonly { readonly workspace_id: string; readonly id: string }[]): readonly DocumentKey[] =>
  rows.map(({ workspace_id, id }) => ({ workspaceId: workspace_id, id }));

/** The documents of all workspaces, with the vectors of one model. */
export class KnowledgeSource implements IndexSource {
  readonly name = kind;
  readonly definition: IndexDefinition;
  readonly hasWorkspaces = true;
  readonly tables = tables;
  readonly watches = watches;
  readonly #model: IndexedModel;

  constructor(model: IndexedModel, prefix = '') {
    this.definition = defineKnowledgeIndex(model, prefix);
    this.#model = model;
  }

  async *read(db: Queryable, keys: readonly DocumentKey[]): AsyncIterable<readonly SourceDocument[]> {
    const ids = keys.map(({ id }) => id);
    let after: string | undefined;
    for (let left = ids.length; left > 0;) {
      const page = await readDocuments(db, this.#model, { ids, after });
      if (page.length === 0) return;
      yield page.map(knowledgeDocument);
      after = page.at(-1)?.id;
      left -= page.length;
    }
  }

  async scan(db: Queryable, after: DocumentKey | undefined): Promise<readonly SourceDocument[]> {
    return (await readDocuments(db, this.#model, { after: after?.id })).map(knowledgeDocument);
  }

  /** As {@link scan}, of one workspace. */
  async scanWorkspace(db: Queryable, workspaceId: string, after?: DocumentKey): Promise<readonly SourceDocument[]> {
    return (await readDocuments(db, this.#model, { workspaceId, after: after?.id })).map(knowledgeDocument);
  }

  async absent(db: Queryable, keys: readonly DocumentKey[]): Promise<readonly DocumentKey[]> {
    const { rows } = await db.query<{ workspace_id: string; id: string }>(
      `SELECT asked.workspace_id::text, asked.id::text FROM unnest($1::uuid[], $2::uuid[]) AS asked (workspace_id, id)
       WHERE NOT EXISTS (SELECT FROM treadle.knowledge AS k WHERE k.workspace_id = asked.workspace_id AND k.id = asked.id)`,
      [keys.map(({ workspaceId }) => workspaceId), keys.map(({ id }) => id)],
    );
    return keysOf(rows);
  }

  async count(db: Queryable): Promise<number> {
    const { rows } = await db.query<{ count: number }>('SELECT count(*) AS count FROM treadle.knowledge');
    return rows[0]?.count ?? 0;
  }

  async showing(
    db: Queryable,
    of: string,
    ids: readonly string[],
    after: DocumentKey | undefined,
  ): Promise<readonly DocumentKey[]> {
    const { rows } = await db.query<{ workspace_id: string; id: string }>(
      `SELECT DISTINCT workspace_id, id FROM (${shown[of] ?? ''}) AS found
       WHERE $2::uuid IS NULL OR (workspace_id, id) > ($2::uuid, $3::uuid) ORDER BY workspace_id, id LIMIT 1000`,
      [ids, after?.workspaceId ?? null, after?.id ?? null],
    );
    return keysOf(rows);
  }
}
