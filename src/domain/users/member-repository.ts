import { sql, type Kysely, type RawBuilder } from 'kysely';
import { pageOf, type Page, type PageStart } from '../../lib/postgres/keyset-page.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { toRole, toUser } from './rows.ts';
import type { Person, Role, User, UserStatus } from './types.ts';

/** The member of a workspace that a given person (name, email) is: an account before somebody known there only. */
const memberLike = (workspaceId: string): RawBuilder<unknown> => sql`
  SELECT u.id FROM treadle.users AS u
  JOIN treadle.workspace_members AS m ON m.workspace_id = ${workspaceId} AND m.user_id = u.id
  WHERE given.email IS NOT NULL AND lower(u.email) = lower(given.email)
  UNION ALL
  SELECT u.id FROM treadle.users AS u
  WHERE given.email IS NULL AND u.email IS NULL AND u.workspace_id = ${workspaceId} AND lower(u.name) = lower(given.name)`;

const given = (people: readonly Person[]): RawBuilder<unknown> =>
  sql`unnest(${people.map(({ name }) => name)}::text[], ${people.map(({ email }) => email ?? null)}::text[])`;

/** The statements on who may be named in a workspace, and on the roles that members have. */
export class MemberRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  /** Makes those of the people whom the workspace does not know. */
  async createUnknown(workspaceId: string, people: readonly Person[]): Promise<void> {
    await sql`INSERT INTO treadle.users (workspace_id, email, name)
      SELECT ${workspaceId}::uuid, given.email, given.name
      FROM (SELECT DISTINCT ON (coalesce(lower(email), ''), CASE WHEN email IS NULL THEN lower(name) END) name, email
        FROM ${given(people)} AS given (name, email)) AS given
      WHERE NOT EXISTS (${memberLike(workspaceId)})
      ON CONFLICT DO NOTHING`.execute(this.#db);
  }

  /** The ids of the people in the workspace, in the order given; null for somebody it does not know. */
  async idsOf(workspaceId: string, people: readonly Person[]): Promise<readonly (string | null)[]> {
    const { rows } = await sql<{ id: string | null }>`
      SELECT (SELECT found.id FROM (${memberLike(workspaceId)}) AS found JOIN treadle.users AS u USING (id)
        ORDER BY u.workspace_id IS NOT NULL, u.id LIMIT 1) AS id
      FROM ${given(people)} WITH ORDINALITY AS given (name, email, position)
      ORDER BY position`.execute(this.#db);
    return rows.map(({ id }) => id);
  }

  /** In the order in which they were made. */
  async findMany(workspaceId: string, status: UserStatus | undefined, start: PageStart<[string]>): Promise<Page<User>> {
    const next = start.direction === 'next';
    let query = this.#db
      .selectFrom('workspace_members as m')
      .innerJoin('users as u', 'u.id', 'm.user_id')
      .where('m.workspace_id', '=', workspaceId)
      .selectAll('u')
      .$narrowType<{ status: UserStatus }>()
      .orderBy('m.user_id', next ? 'asc' : 'desc')
      .limit(start.limit + 1);
    if (status !== undefined) query = query.where('u.status', '=', status);
    if (start.key) query = query.where('m.user_id', next ? '>' : '<', start.key[0]);
    return pageOf(await query.execute(), start, { keyOf: (row): [string] => [row.id], toItem: toUser });
  }

  async count(workspaceId: string, status: UserStatus | undefined): Promise<number> {
    let query = this.#db
      .selectFrom('workspace_members as m')
      .innerJoin('users as u', 'u.id', 'm.user_id')
      .where('m.workspace_id', '=', workspaceId)
      .select(sql<number>`count(*)::integer`.as('count'));
    if (status !== undefined) query = query.where('u.status', '=', status);
    return (await query.executeTakeFirstOrThrow()).count;
  }

  async add(workspaceId: string, userId: string): Promise<void> {
    await this.#db
      .insertInto('workspace_members')
      .values({ workspace_id: workspaceId, user_id: userId })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  async has(workspaceId: string, userId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('workspace_members')
      .select('user_id')
      .where('workspace_id', '=', workspaceId)
      .where('user_id', '=', userId)
      .executeTakeFirst();
    return row !== undefined;
  }

  async grant(workspaceId: string, userId: string, roleId: string): Promise<void> {
    await this.#db
      .insertInto('user_roles')
      .values({ workspace_id: workspaceId, user_id: userId, role_id: roleId })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  /** False when the member did not have it. */
  async revoke(workspaceId: string, userId: string, roleId: string): Promise<boolean> {
    const { numDeletedRows } = await this.#db
      .deleteFrom('user_roles')
      .where('workspace_id', '=', workspaceId)
      .where('user_id', '=', userId)
      .where('role_id', '=', roleId)
      .executeTakeFirstOrThrow();
    return numDeletedRows === 1n;
  }

  /** The roles a user holds in a workspace, by name. */
  async rolesOf(workspaceId: string, userId: string): Promise<readonly Role[]> {
    const rows = await this.#db
      .selectFrom('user_roles as held')
      .innerJoin('roles as r', 'r.id', 'held.role_id')
      .where('held.workspace_id', '=', workspaceId)
      .where('held.user_id', '=', userId)
      .selectAll('r')
      .orderBy('r.name')
      .execute();
    return rows.map(toRole);
  }
}
