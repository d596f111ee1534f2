import { sql, type Kysely, type SqlBool } from 'kysely';
import { pageOf, type Page, type PageStart } from '../../lib/postgres/keyset-page.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { toUser } from './rows.ts';
import type { Contributor, User, UserStats, UserStatus } from './types.ts';

/** The fields of a user that a writer sets; those that are undefined stay. */
export interface UserPatch {
  readonly name?: string | undefined;
  readonly status?: UserStatus | undefined;
}

/** The statements on users, their membership in workspaces and what they have written. */
export class UserRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  async findById(id: string): Promise<User | undefined> {
    const row = await this.#users().where('id', '=', id).executeTakeFirst();
    return row && toUser(row);
  }

  /** The account with this email, whatever its case. */
  async findByEmail(email: string): Promise<User | undefined> {
    const row = await this.#users()
      .where('workspace_id', 'is', null)
      .where(sql<SqlBool>`lower(email) = lower(${email})`)
      .executeTakeFirst();
    return row && toUser(row);
  }

  /** Accounts in the order of their emails. */
  async findMany(status: UserStatus | undefined, start: PageStart<[string]>): Promise<Page<User>> {
    const next = start.direction === 'next';
    const order = next ? 'asc' : 'desc';
    // In the order of the index users_email_key, of which accounts are the part without a workspace.
    let query = this.#users()
      .select(sql<string>`lower(email)`.as('email_key'))
      .where('workspace_id', 'is', null)
      .where('email', 'is not', null)
      .orderBy('workspace_id', order)
      .orderBy(sql`lower(email)`, order)
      .limit(start.limit + 1);
    if (status !== undefined) query = query.where('status', '=', status);
    if (start.key) query = query.where(sql<SqlBool>`lower(email) ${next ? sql`>` : sql`<`} ${start.key[0]}`);
    return pageOf(await query.execute(), start, { keyOf: (row): [string] => [row.email_key], toItem: toUser });
  }

  /** Of accounts. */
  async count(status: UserStatus | undefined): Promise<number> {
    let query = this.#db
      .selectFrom('users')
      .select(sql<number>`count(*)::integer`.as('count'))
      .where('workspace_id', 'is', null);
    if (status !== undefined) query = query.where('status', '=', status);
    return (await query.executeTakeFirstOrThrow()).count;
  }

  /** Makes an account. Undefined when the email has one already. */
  async create(email: string, name: string): Promise<User | undefined> {
    const row = await this.#db
      .insertInto('users')
      .values({ email, name })
      .onConflict((conflict) =>
        conflict
          .expression(sql`workspace_id, lower(email)`)
          .where('email', 'is not', null)
          .doNothing(),
      )
      .returningAll()
      .$narrowType<{ status: UserStatus }>()
      .executeTakeFirst();
    return row && toUser(row);
  }

  /** Undefined when there is no such user, or none of the expected revision. */
  async update(id: string, patch: UserPatch, expected: number | undefined): Promise<User | undefined> {
    let query = this.#db
      .updateTable('users')
      // Something is always set; the trigger counts only what differs.
      .set((eb) => ({ ...patch, revision: eb.ref('revision') }))
      .where('id', '=', id)
      .returningAll()
      .$narrowType<{ status: UserStatus }>();
    if (expected !== undefined) query = query.where('revision', '=', expected);
    const row = await query.executeTakeFirst();
    return row && toUser(row);
  }

  /** False when there is no such user, or none of the expected revision. */
  async delete(id: string, expected: number | undefined): Promise<boolean> {
    let query = this.#db.deleteFrom('users').where('id', '=', id);
    if (expected !== undefined) query = query.where('revision', '=', expected);
    return (await query.executeTakeFirstOrThrow()).numDeletedRows === 1n;
  }

  /** Accounts that may be used, latest first. */
  async findActiveUsers(limit: number): Promise<readonly User[]> {
    const rows = await this.#users()
      .where('workspace_id', 'is', null)
      .where('status', '=', 'active')
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .execute();
    return rows.map(toUser);
  }

  /** Undefined when there is no such user. */
  async statsOf(id: string): Promise<UserStats | undefined> {
    // Through the workspaces, because documents are found by author in one of them.
    const row = await this.#db
      .selectFrom('users as u')
      .leftJoin('workspace_members as m', 'm.user_id', 'u.id')
      .leftJoin('knowledge as k', (join) =>
        join.onRef('k.workspace_id', '=', 'm.workspace_id').onRef('k.author_id', '=', 'u.id'),
      )
      .where('u.id', '=', id)
      .groupBy('u.id')
      .select(({ fn }) => [
        sql<number>`count(k.id)::integer`.as('documents'),
        sql<number>`(count(k.id) FILTER (WHERE k.status = 'published'))::integer`.as('published'),
        sql<number>`count(DISTINCT m.workspace_id)::integer`.as('workspaces'),
        fn.max('k.updated_at').as('lastChangeAt'),
      ])
      .executeTakeFirst();
    return row;
  }

  /** Who has written most of a workspace's documents; of two with as many, who wrote last. */
  async topContributors(workspaceId: string, limit: number): Promise<readonly Contributor[]> {
    return this.#db
      .selectFrom('knowledge as k')
      .innerJoin('users as u', 'u.id', 'k.author_id')
      .where('k.workspace_id', '=', workspaceId)
      .where('u.status', '=', 'active')
      .groupBy('u.id')
      .select(({ fn }) => [
        'u.id',
        'u.name',
        sql<number>`count(*)::integer`.as('documents'),
        fn.max('k.updated_at').as('lastChangeAt'),
      ])
      .orderBy('documents', 'desc')
      .orderBy('lastChangeAt', 'desc')
      .orderBy('u.id')
      .limit(limit)
      .execute();
  }

  #users() {
    return this.#db.selectFrom('users').selectAll().$narrowType<{ status: UserStatus }>();
  }
}
