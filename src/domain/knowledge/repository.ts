import { sql, type Kysely } from 'kysely';
import { pageOf, type Page, type PageStart } from '../../lib/postgres/keyset-page.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { conditionOf, type KnowledgeFilter } from './filter.ts';
import { knowledgeColumns, knowledgeJoins, toKnowledge, toVersion, type KnowledgeRow } from './rows.ts';
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

const jsonOf = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));

const columnsOf = (fields: KnowledgePatch) => ({
  title: fields.title,
  content: fields.content,
  content_delta: fields.contentDelta === null ? null : jsonOf(fields.contentDelta),
  content_type: fields.contentType,
  excerpt: fields.excerpt,
  status: fields.status,
  author_id: fields.authorId,
  collection_id: fields.collectionId,
  source_id: fields.sourceId,
  metadata: jsonOf(fields.metadata),
});

/** The statements on documents. Each names the workspace; checks beyond the database's are the service's. */
export class KnowledgeRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  async findById(workspaceId: string, id: string): Promise<Knowledge | undefined> {
    const { rows } = await sql<KnowledgeRow>`SELECT ${knowledgeColumns} FROM treadle.knowledge AS k ${knowledgeJoins}
      WHERE k.workspace_id = ${workspaceId} AND k.id = ${id}`.execute(this.#db);
    return rows[0] && toKnowledge(rows[0]);
  }

  /** Latest change first. */
  async findMany(
    workspaceId: string,
    filter: KnowledgeFilter,
    { limit, offset }: { readonly limit: number; readonly offset: number },
  ): Promise<readonly Knowledge[]> {
    const { rows } = await sql<KnowledgeRow>`SELECT ${knowledgeColumns} FROM treadle.knowledge AS k ${knowledgeJoins}
      WHERE k.workspace_id = ${workspaceId} AND ${conditionOf(filter)}
      ORDER BY k.updated_at DESC, k.id DESC LIMIT ${limit} OFFSET ${offset}`.execute(this.#db);
    return rows.map(toKnowledge);
  }

  /** Latest change first, page by page; a document changed meanwhile moves to the front. */
  async findByWorkspace(
    workspaceId: string,
    filter: KnowledgeFilter,
    start: PageStart<[updatedAt: string, id: string]>,
  ): Promise<Page<Knowledge>> {
    const [beyond, order] = start.direction === 'next' ? [sql`<`, sql`DESC`] : [sql`>`, sql`ASC`];
    const from = start.key
      ? sql`(k.updated_at, k.id) ${beyond} (${start.key[0]}::timestamptz, ${start.key[1]}::uuid)`
      : sql`true`;
    const { rows } = await sql<KnowledgeRow>`SELECT ${knowledgeColumns} FROM treadle.knowledge AS k ${knowledgeJoins}
      WHERE k.workspace_id = ${workspaceId} AND ${conditionOf(filter)} AND ${from}
      ORDER BY k.updated_at ${order}, k.id ${order} LIMIT ${start.limit + 1}`.execute(this.#db);
    return pageOf(rows, start, { keyOf: (row) => [row.updated_key, row.id], toItem: toKnowledge });
  }

  async count(workspaceId: string, filter: KnowledgeFilter): Promise<number> {
    const { count } = await this.#db
      .selectFrom('knowledge as k')
      .select(sql<number>`count(*)::integer`.as('count'))
      .where('k.workspace_id', '=', workspaceId)
      .where(conditionOf(filter))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Writes the row and links tags that exist; answers its id. */
  async create(workspaceId: string, fields: KnowledgeFields, tags: readonly string[]): Promise<string> {
    const { id } = await this.#db
      .with('document', (db) =>
        db
          .insertInto('knowledge')
          .values({ ...columnsOf(fields), workspace_id: workspaceId, title: fields.title })
          .returning(['workspace_id', 'id']),
      )
      .with('linked', (db) =>
        db
          .insertInto('knowledge_tags')
          .columns(['workspace_id', 'knowledge_id', 'tag_id'])
          .expression(
            db
              .selectFrom('document as d')
              .innerJoin('tags as t', 't.workspace_id', 'd.workspace_id')
              .select(['d.workspace_id', 'd.id', 't.id as tag_id'])
              .where(sql<boolean>`t.name = ANY (${tags}::text[])`),
          ),
      )
      .selectFrom('document')
      .select('id')
      .executeTakeFirstOrThrow();
    return id;
  }

  /** The version of the document, which nobody else can change until the transaction ends. */
  async lock(workspaceId: string, id: string): Promise<number | undefined> {
    const row = await this.#db
      .selectFrom('knowledge')
      .select('version')
      .where('workspace_id', '=', workspaceId)
      .where('id', '=', id)
      .forNoKeyUpdate()
      .executeTakeFirst();
    return row?.version;
  }

  /** Sets the fields given. `touch` makes a new version also when they are what they were. */
  async update(
    workspaceId: string,
    id: string,
    fields: KnowledgePatch,
    { touch }: { readonly touch: boolean },
  ): Promise<void> {
    const columns = { ...columnsOf(fields), updated_at: touch ? sql<Date>`clock_timestamp()` : undefined };
    if (Object.values(columns).every((value) => value === undefined)) return;
    await this.#db
      .updateTable('knowledge')
      .set(columns)
      .where('workspace_id', '=', workspaceId)
      .where('id', '=', id)
      .execute();
  }

  async delete(workspaceId: string, id: string): Promise<void> {
    await this.#db.deleteFrom('knowledge').where('workspace_id', '=', workspaceId).where('id', '=', id).execute();
  }

  /** Latest version first. */
  async versions(workspaceId: string, id: string, start: PageStart<[string]>): Promise<Page<KnowledgeVersion>> {
    const next = start.direction === 'next';
    let query = this.#db
      .selectFrom('knowledge_versions as v')
      .leftJoin('users as u', 'u.id', 'v.author_id')
      .select(['v.knowledge_id', 'v.version_number', 'v.title', 'v.content', 'v.content_delta', 'v.excerpt'])
      .select(['u.id as author_id', 'u.name as author_name'])
      .select(['v.actor', 'v.change_summary', 'v.changed', 'v.created_at'])
      .where('v.workspace_id', '=', workspaceId)
      .where('v.knowledge_id', '=', id)
      .orderBy('v.version_number', next ? 'desc' : 'asc')
      .limit(start.limit + 1);
    if (start.key) query = query.where('v.version_number', next ? '<' : '>', Number(start.key[0]));
    return pageOf(await query.execute(), start, {
      keyOf: (row): [string] => [String(row.version_number)],
      toItem: toVersion,
    });
  }
}
