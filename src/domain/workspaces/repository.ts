import { sql, type Kysely, type Selectable } from 'kysely';
import { pageOf, type Page, type PageStart } from '../../lib/postgres/keyset-page.ts';
import type { DB, Workspaces } from '../../lib/postgres/schema.generated.ts';
import type { Workspace } from './types.ts';

/** The fields of a workspace that a writer sets. */
export interface WorkspaceFields {
  readonly name?: string | undefined;
  readonly displayName?: string | undefined;
  readonly description?: string | undefined;
  readonly timeZone?: string | undefined;
}

const toWorkspace = (row: Selectable<Workspaces>): Workspace => ({
  id: row.id,
  name: row.name,
  displayName: row.display_name,
  description: row.description,
  timeZone: row.time_zone,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

const columnsOf = ({ name, displayName, description, timeZone }: WorkspaceFields) => ({
  name,
  display_name: displayName,
  description,
  time_zone: timeZone,
});

/** The statements on workspaces; it checks nothing that the database does not. */
export class WorkspaceRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  async findById(id: string): Promise<Workspace | undefined> {
    const row = await this.#db.selectFrom('workspaces').selectAll().where('id', '=', id).executeTakeFirst();
    return row && toWorkspace(row);
  }

  async findByName(name: string): Promise<Workspace | undefined> {
    const row = await this.#db.selectFrom('workspaces').selectAll().where('name', '=', name).executeTakeFirst();
    return row && toWorkspace(row);
  }

  /** In the order of their names. */
  async findMany(start: PageStart<[string]>): Promise<Page<Workspace>> {
    const next = start.direction === 'next';
    let query = this.#db
      .selectFrom('workspaces')
      .selectAll()
      .orderBy('name', next ? 'asc' : 'desc')
      .limit(start.limit + 1);
    if (start.key) query = query.where('name', next ? '>' : '<', start.key[0]);
    return pageOf(await query.execute(), start, { keyOf: (row): [string] => [row.name], toItem: toWorkspace });
  }

  async count(): Promise<number> {
    const { count } = await this.#db
      .selectFrom('workspaces')
      .select(sql<number>`count(*)::integer`.as('count'))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Undefined when the name is taken. */
  async create(fields: WorkspaceFields & { readonly name: string }): Promise<Workspace | undefined> {
    const row = await this.#db
      .insertInto('workspaces')
      .values({ ...columnsOf(fields), name: fields.name })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .returningAll()
      .executeTakeFirst();
    return row && toWorkspace(row);
  }

  /** Sets the fields given and leaves the others; undefined when there is no such workspace, or none of the expected revision. */
  async update(id: string, fields: WorkspaceFields, expected: number | undefined): Promise<Workspace | undefined> {
    let query = this.#db
      .updateTable('workspaces')
      // Something is always set; the trigger counts only what differs.
      .set((eb) => ({ ...columnsOf(fields), revision: eb.ref('revision') }))
      .where('id', '=', id)
      .returningAll();
    if (expected !== undefined) query = query.where('revision', '=', expected);
    const row = await query.executeTakeFirst();
    return row && toWorkspace(row);
  }

  /** With everything in it. False when there is no such workspace, or none of the expected revision. */
  async delete(id: string, expected: number | undefined): Promise<boolean> {
    let query = this.#db.deleteFrom('workspaces').where('id', '=', id);
    if (expected !== undefined) query = query.where('revision', '=', expected);
    return (await query.executeTakeFirstOrThrow()).numDeletedRows === 1n;
  }
}
