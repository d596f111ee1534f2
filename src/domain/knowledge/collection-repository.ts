import { sql, type Kysely } from 'kysely';
import { pageOf, type Page, type PageStart } from '../../lib/postgres/keyset-page.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { toCollection } from './rows.ts';
import type { Collection } from './types.ts';

/** What a writer sets of a collection. */
export interface CollectionFields {
  readonly name: string;
  readonly description: string;
}

/** Fields that are undefined stay. */
export type CollectionPatch = { readonly [Name in keyof CollectionFields]?: string | undefined };

const documents = sql<number>`(SELECT count(*)::integer FROM treadle.knowledge AS k
  WHERE k.workspace_id = c.workspace_id AND k.collection_id = c.id)`;

/** The statements on collections. Each names the workspace. */
export class CollectionRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  async findById(workspaceId: string, id: string): Promise<Collection | undefined> {
    const row = await this.#collections(workspaceId).where('c.id', '=', id).executeTakeFirst();
    return row && toCollection(row);
  }

  /** In the order of their names. */
  async findMany(workspaceId: string, start: PageStart<[string]>): Promise<Page<Collection>> {
    const next = start.direction === 'next';
    let query = this.#collections(workspaceId)
      .orderBy('c.name', next ? 'asc' : 'desc')
      .limit(start.limit + 1);
    if (start.key) query = query.where('c.name', next ? '>' : '<', start.key[0]);
    return pageOf(await query.execute(), start, { keyOf: (row): [string] => [row.name], toItem: toCollection });
  }

  async count(workspaceId: string): Promise<number> {
    const { count } = await this.#db
      .selectFrom('collections')
      .where('workspace_id', '=', workspaceId)
      .select(sql<number>`count(*)::integer`.as('count'))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Undefined when the name is taken. */
  async create(workspaceId: string, { name, description }: CollectionFields): Promise<Collection | undefined> {
    const row = await this.#db
      .insertInto('collections')
      .values({ workspace_id: workspaceId, name, description })
      .onConflict((conflict) => conflict.columns(['workspace_id', 'name']).doNothing())
      .returningAll()
      .returning(sql<number>`0`.as('documents'))
      .executeTakeFirst();
    return row && toCollection(row);
  }

  /** Undefined when there is no such collection, or none of the expected revision. */
  async update(
    workspaceId: string,
    id: string,
    { name, description }: CollectionPatch,
    expected: number | undefined,
  ): Promise<Collection | undefined> {
    let query = this.#db
      .updateTable('collections as c')
      // Something is always set; the trigger counts only what differs.
      .set((eb) => ({ name, description, revision: eb.ref('c.revision') }))
      .where('c.workspace_id', '=', workspaceId)
      .where('c.id', '=', id)
      .returningAll('c')
      .returning(documents.as('documents'));
    if (expected !== undefined) query = query.where('c.revision', '=', expected);
    const row = await query.executeTakeFirst();
    return row && toCollection(row);
  }

  /** Its documents stay, without a collection. False when there is none, or none of the expected revision. */
  async delete(workspaceId: string, id: string, expected: number | undefined): Promise<boolean> {
    let query = this.#db.deleteFrom('collections').where('workspace_id', '=', workspaceId).where('id', '=', id);
    if (expected !== undefined) query = query.where('revision', '=', expected);
    return (await query.executeTakeFirstOrThrow()).numDeletedRows === 1n;
  }

  #collections(workspaceId: string) {
    return this.#db
      .selectFrom('collections as c')
      .selectAll('c')
      .select(documents.as('documents'))
      .where('c.workspace_id', '=', workspaceId);
  }
}
