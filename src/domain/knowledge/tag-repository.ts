import { sql, type Kysely } from 'kysely';
import { pageOf, type Page, type PageStart } from '../../lib/postgres/keyset-page.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { toTag } from './rows.ts';
import type { PopularTag, Tag } from './types.ts';

const documents = sql<number>`(SELECT count(*)::integer FROM treadle.knowledge_tags AS kt
  WHERE kt.workspace_id = t.workspace_id AND kt.tag_id = t.id)`;

/** The statements on tags. Each names the workspace. */
export class TagRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  async findById(workspaceId: string, id: string): Promise<Tag | undefined> {
    const row = await this.#tags(workspaceId).where('t.id', '=', id).executeTakeFirst();
    return row && toTag(row);
  }

  /** In the order of their names. */
  async findMany(workspaceId: string, start: PageStart<[string]>): Promise<Page<Tag>> {
    const next = start.direction === 'next';
    let query = this.#tags(workspaceId)
      .orderBy('t.name', next ? 'asc' : 'desc')
      .limit(start.limit + 1);
    if (start.key) query = query.where('t.name', next ? '>' : '<', start.key[0]);
    return pageOf(await query.execute(), start, { keyOf: (row): [string] => [row.name], toItem: toTag });
  }

  /** Those of most documents first, then by name; tags without documents are not among them. */
  popular(workspaceId: string, limit: number): Promise<PopularTag[]> {
    return this.#db
      .selectFrom('knowledge_tags as kt')
      .innerJoin('tags as t', 't.id', 'kt.tag_id')
      .where('kt.workspace_id', '=', workspaceId)
      .groupBy(['t.id', 't.name'])
      .select(['t.id', 't.name', sql<number>`count(*)::integer`.as('documents')])
      .orderBy('documents', 'desc')
      .orderBy('t.name')
      .limit(limit)
      .execute();
  }

  async count(workspaceId: string): Promise<number> {
    const { count } = await this.#db
      .selectFrom('tags')
      .where('workspace_id', '=', workspaceId)
      .select(sql<number>`count(*)::integer`.as('count'))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Undefined when the name is taken. */
  async create(workspaceId: string, name: string): Promise<Tag | undefined> {
    const row = await this.#db
      .insertInto('tags')
      .values({ workspace_id: workspaceId, name })
      .onConflict((conflict) => conflict.columns(['workspace_id', 'name']).doNothing())
      .returningAll()
      .returning(sql<number>`0`.as('documents'))
      .executeTakeFirst();
    return row && toTag(row);
  }

  /** Undefined when there is no such tag, or none of the expected revision. */
  async update(
    workspaceId: string,
    id: string,
    { name }: { readonly name?: string | undefined },
    expected: number | undefined,
  ): Promise<Tag | undefined> {
    let query = this.#db
      .updateTable('tags as t')
      // Something is always set; the trigger counts only what differs.
      .set((eb) => ({ name, revision: eb.ref('t.revision') }))
      .where('t.workspace_id', '=', workspaceId)
      .where('t.id', '=', id)
      .returningAll('t')
      .returning(documents.as('documents'));
    if (expected !== undefined) query = query.where('t.revision', '=', expected);
    const row = await query.executeTakeFirst();
    return row && toTag(row);
  }

  /** The revision of the tag, which nobody else can change or put on a document until the transaction ends. */
  async lock(workspaceId: string, id: string): Promise<number | undefined> {
    const row = await this.#db
      .selectFrom('tags')
      .select('revision')
      .where('workspace_id', '=', workspaceId)
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    return row?.revision;
  }

  /** Takes a locked tag off the documents that carry it, each of which has a new version for it, and deletes it. */
  async delete(workspaceId: string, id: string): Promise<void> {
    // In one order, and before their links, as whoever changes a document locks it.
    await sql`SELECT count(*) FROM (
      SELECT FROM treadle.knowledge AS k
      WHERE k.workspace_id = ${workspaceId}
        AND k.id IN (SELECT knowledge_id FROM treadle.knowledge_tags WHERE workspace_id = ${workspaceId} AND tag_id = ${id})
      ORDER BY k.id FOR NO KEY UPDATE) AS locked`.execute(this.#db);
    await sql`WITH untagged AS (
        DELETE FROM treadle.knowledge_tags WHERE workspace_id = ${workspaceId} AND tag_id = ${id} RETURNING knowledge_id)
      UPDATE treadle.knowledge AS k SET updated_at = clock_timestamp()
      FROM untagged WHERE k.workspace_id = ${workspaceId} AND k.id = untagged.knowledge_id`.execute(this.#db);
    await this.#db.deleteFrom('tags').where('workspace_id', '=', workspaceId).where('id', '=', id).execute();
  }

  #tags(workspaceId: string) {
    return this.#db
      .selectFrom('tags as t')
      .selectAll('t')
      .select(documents.as('documents'))
      .where('t.workspace_id', '=', workspaceId);
  }
}
