import { sql, type Kysely } from 'kysely';
import { pageOf, type Page, type PageStart } from '../../lib/postgres/keyset-page.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { toRole } from './rows.ts';
import type { Role } from './types.ts';

/** What a writer sets of a role. */
export interface RoleFields {
  readonly name: string;
  readonly permissions: readonly string[];
  readonly isSystemRole?: boolean;
}

/** Fields that are undefined stay. */
export interface RolePatch {
  readonly name?: string | undefined;
  readonly permissions?: readonly string[] | undefined;
}

/** The statements on roles. Each names the workspace; no role of the system is changed or deleted. */
export class RoleRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  async findById(workspaceId: string, id: string): Promise<Role | undefined> {
    const row = await this.#roles(workspaceId).where('id', '=', id).executeTakeFirst();
    return row && toRole(row);
  }

  async findByName(workspaceId: string, name: string): Promise<Role | undefined> {
    const row = await this.#roles(workspaceId).where('name', '=', name).executeTakeFirst();
    return row && toRole(row);
  }

  /** In the order of their names. */
  async findMany(workspaceId: string, start: PageStart<[string]>): Promise<Page<Role>> {
    const next = start.direction === 'next';
    let query = this.#roles(workspaceId)
      .orderBy('name', next ? 'asc' : 'desc')
      .limit(start.limit + 1);
    if (start.key) query = query.where('name', next ? '>' : '<', start.key[0]);
    return pageOf(await query.execute(), start, { keyOf: (row): [string] => [row.name], toItem: toRole });
  }

  async count(workspaceId: string): Promise<number> {
    const { count } = await this.#db
      .selectFrom('roles')
      .where('workspace_id', '=', workspaceId)
      .select(sql<number>`count(*)::integer`.as('count'))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Undefined when the name is taken. */
  async create(
    workspaceId: string,
    { name, permissions, isSystemRole = false }: RoleFields,
  ): Promise<Role | undefined> {
    const row = await this.#db
      .insertInto('roles')
      .values({ workspace_id: workspaceId, name, permissions: [...permissions], is_system_role: isSystemRole })
      .onConflict((conflict) => conflict.columns(['workspace_id', 'name']).doNothing())
      .returningAll()
      .executeTakeFirst();
    return row && toRole(row);
  }

  /** Undefined when there is no such role, none of the expected revision, or it is the system's. */
  async update(
    workspaceId: string,
    id: string,
    { name, permissions }: RolePatch,
    expected: number | undefined,
  ): Promise<Role | undefined> {
    let query = this.#db
      .updateTable('roles')
      // Something is always set; the trigger counts only what differs.
      .set((eb) => ({ name, permissions: permissions && [...permissions], revision: eb.ref('revision') }))
      .where('workspace_id', '=', workspaceId)
      .where('id', '=', id)
      .where('is_system_role', '=', false)
      .returningAll();
    if (expected !== undefined) query = query.where('revision', '=', expected);
    const row = await query.executeTakeFirst();
    return row && toRole(row);
  }

  /** Whoever holds it loses it. False when there is no such role, none of the expected revision, or it is the system's. */
  async delete(workspaceId: string, id: string, expected: number | undefined): Promise<boolean> {
    let query = this.#db
      .deleteFrom('roles')
      .where('workspace_id', '=', workspaceId)
      .where('id', '=', id)
      .where('is_system_role', '=', false);
    if (expected !== undefined) query = query.where('revision', '=', expected);
    return (await query.executeTakeFirstOrThrow()).numDeletedRows === 1n;
  }

  #roles(workspaceId: string) {
    return this.#db.selectFrom('roles').selectAll().where('workspace_id', '=', workspaceId);
  }
}
