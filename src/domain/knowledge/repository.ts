import { z } from 'zod';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { conditionsOf, type KnowledgeFilter } from './filter.ts';
import {
  knowledgeColumns,
  knowledgeJoins,
  toKnowledge,
  toVersion,
  type KnowledgeRow,
  type VersionRow,
} from './rows.ts';
import type { Knowledge, KnowledgeStatus, KnowledgeVersion } from './types.ts';

/** The columns of a document that a writer sets. */
export interface KnowledgeFields {
  readonly title: string;
  readonly content: string;
  readonly contentDelta: unknown;
  readonly contentType: string;
  readonly excerpt: string;
  readonly status: KnowledgeStatus;
  readonly authorId: string | null;
  readonly collectionId: string | null;
  readonly sourceId: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Fields that are undefined stay. */
export type KnowledgePatch = { readonly [Name in keyof KnowledgeFields]?: KnowledgeFields[Name] | undefined };

const columnOf: Readonly<Record<keyof KnowledgeFields, string>> = {
  title: 'title',
  content: 'content',
  contentDelta: 'content_delta',
  contentType: 'content_type',
  excerpt: 'excerpt',
  status: 'status',
  authorId: 'author_id',
  collectionId: 'collection_id',
  sourceId: 'source_id',
  metadata: 'metadata',
};
const fieldNames = Object.keys(columnOf).filter((name): name is keyof KnowledgeFields => name in columnOf);

const parameterOf = (name: keyof KnowledgeFields, fields: KnowledgePatch): unknown => {
  if (name === 'metadata') return JSON.stringify(fields.metadata);
  if (name === 'contentDelta') return fields.contentDelta === null ? null : JSON.stringify(fields.contentDelta);
  return fields[name];
};

const latestKey = z.tuple([z.iso.datetime(), z.guid()]);
const versionKey = z.tuple([z.string().regex(/^\d{1,9}$/)]);

/** The statements on documents. Each names the workspace; checks beyond the database's are the service's. */
export class KnowledgeRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async findById(workspaceId: string, id: string): Promise<Knowledge | undefined> {
    const { rows } = await this.#db.query<KnowledgeRow>(
      `SELECT ${knowledgeColumns} FROM treadle.knowledge AS k ${knowledgeJoins} WHERE k.workspace_id = $1 AND k.id = $2`,
      [workspaceId, id],
    );
    return rows[0] && toKnowledge(rows[0]);
  }

  /** Latest change first. */
  async findMany(
    workspaceId: string,
    filter: KnowledgeFilter,
    { limit, offset }: { readonly limit: number; readonly offset: number },
  ): Promise<readonly Knowledge[]> {
    const values: unknown[] = [workspaceId, limit, offset];
    const { rows } = await this.#db.query<KnowledgeRow>(
      `SELECT ${knowledgeColumns} FROM treadle.knowledge AS k ${knowledgeJoins}
       WHERE k.workspace_id = $1${conditionsOf(filter, values)}
       ORDER BY k.updated_at DESC, k.id DESC LIMIT $2 OFFSET $3`,
      values,
    );
    return rows.map(toKnowledge);
  }

  /** Latest change first, page by page; a document changed meanwhile moves to the front. */
  async findByWorkspace(workspaceId: string, filter: KnowledgeFilter, request: PageRequest): Promise<Page<Knowledge>> {
    const start = await readPageRequest(this.#db, request, {
      list: 'knowledge',
      scope: [workspaceId, filter],
      key: latestKey,
    });
    const [beyond, order] = start.direction === 'next' ? ['<', 'DESC'] : ['>', 'ASC'];
    const values: unknown[] = [workspaceId, start.limit + 1];
    const conditions = conditionsOf(filter, values);
    const from = start.key
      ? ` AND (k.updated_at, k.id) ${beyond} ($${values.push(start.key[0])}::timestamptz, $${values.push(start.key[1])}::uuid)`
      : '';
    const { rows } = await this.#db.query<KnowledgeRow>(
      `SELECT ${knowledgeColumns} FROM treadle.knowledge AS k ${knowledgeJoins}
       WHERE k.workspace_id = $1${conditions}${from}
       ORDER BY k.updated_at ${order}, k.id ${order} LIMIT $2`,
      values,
    );
    return pageOf(rows, start, { keyOf: (row) => [row.updated_key, row.id], toItem: toKnowledge });
  }

  async count(workspaceId: string, filter: KnowledgeFilter): Promise<number> {
    const values: unknown[] = [workspaceId];
    const { rows } = await this.#db.query<{ count: number }>(
      `SELECT count(*)::integer AS count FROM treadle.knowledge AS k WHERE k.workspace_id = $1${conditionsOf(filter, values)}`,
      values,
    );
    return rows[0]?.count ?? 0;
  }

  /** Writes the row and links tags that exist; answers its id. */
  async create(workspaceId: string, fields: KnowledgeFields, tags: readonly string[]): Promise<string> {
    const values: unknown[] = [workspaceId, tags];
    const parameters = fieldNames.map((name) => `$${values.push(parameterOf(name, fields))}`);
    const { rows } = await this.#db.query<{ id: string }>(
      `WITH document AS (
         INSERT INTO treadle.knowledge (workspace_id, ${fieldNames.map((name) => columnOf[name]).join(', ')})
         VALUES ($1, ${parameters.join(', ')}) RETURNING workspace_id, id
       ), linked AS (
         INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
         SELECT d.workspace_id, d.id, t.id FROM document AS d
         JOIN treadle.tags AS t ON t.workspace_id = d.workspace_id AND t.name = ANY ($2::text[])
       )
       SELECT id FROM document`,
      values,
    );
    const [row] = rows;
    if (!row) throw new Error('INSERT answered no row');
    return row.id;
  }

  /** The version of the document, which nobody else can change until the transaction ends. */
  async lock(workspaceId: string, id: string): Promise<number | undefined> {
    const { rows } = await this.#db.query<{ version: number }>(
      'SELECT version FROM treadle.knowledge WHERE workspace_id = $1 AND id = $2 FOR NO KEY UPDATE',
      [workspaceId, id],
    );
    return rows[0]?.version;
  }

  /** Sets the fields given. `touch` makes a new version also when they are what they were. */
  async update(
    workspaceId: string,
    id: string,
    fields: KnowledgePatch,
    { touch }: { readonly touch: boolean },
  ): Promise<void> {
    const values: unknown[] = [workspaceId, id];
    const assignments = fieldNames
      .filter((name) => fields[name] !== undefined)
      .map((name) => `${columnOf[name]} = $${values.push(parameterOf(name, fields))}`);
    if (touch) assignments.push('updated_at = clock_timestamp()');
    if (assignments.length === 0) return;
    await this.#db.query(
      `UPDATE treadle.knowledge SET ${assignments.join(', ')} WHERE workspace_id = $1 AND id = $2`,
      values,
    );
  }

  /** True when it was there. */
  async delete(workspaceId: string, id: string): Promise<boolean> {
    const { rowCount } = await this.#db.query('DELETE FROM treadle.knowledge WHERE workspace_id = $1 AND id = $2', [
      workspaceId,
      id,
    ]);
    return rowCount === 1;
  }

  /** Latest version first. */
  async versions(workspaceId: string, id: string, request: PageRequest): Promise<Page<KnowledgeVersion>> {
    const start = await readPageRequest(this.#db, request, {
      list: 'knowledge-versions',
      scope: [workspaceId, id],
      key: versionKey,
    });
    const [beyond, order] = start.direction === 'next' ? ['<', 'DESC'] : ['>', 'ASC'];
    const { rows } = await this.#db.query<VersionRow>(
      `SELECT v.knowledge_id, v.version_number, v.title, v.content, v.content_delta, v.excerpt, u.id AS author_id,
         u.name AS author_name, v.actor, v.change_summary, v.changed, v.created_at
       FROM treadle.knowledge_versions AS v LEFT JOIN treadle.users AS u ON u.id = v.author_id
       WHERE v.workspace_id = $1 AND v.knowledge_id = $2 AND ($3::integer IS NULL OR v.version_number ${beyond} $3)
       ORDER BY v.version_number ${order} LIMIT $4`,
      [workspaceId, id, start.key?.[0] ?? null, start.limit + 1],
    );
    return pageOf(rows, start, { keyOf: (row) => [String(row.version_number)], toItem: toVersion });
  }
}
