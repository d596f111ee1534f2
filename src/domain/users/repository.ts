import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Contributor, Person, Role, User, UserStats, UserStatus } from './types.ts';

interface UserRow {
  readonly id: string;
  readonly workspace_id: string | null;
  readonly email: string | null;
  readonly name: string;
  readonly status: UserStatus;
  readonly created_at: Date;
  readonly updated_at: Date;
}

interface RoleRow {
  readonly id: string;
  readonly workspace_id: string;
  readonly name: string;
  readonly permissions: string[];
  readonly is_system_role: boolean;
}

const columns = 'u.id, u.workspace_id, u.email, u.name, u.status, u.created_at, u.updated_at';

const toUser = (row: UserRow): User => ({
  id: row.id,
  workspaceId: row.workspace_id,
  email: row.email,
  name: row.name,
  status: row.status,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

const toRole = (row: RoleRow): Role => ({
  id: row.id,
  workspaceId: row.workspace_id,
  name: row.name,
  permissions: row.permissions,
  isSystemRole: row.is_system_role,
});

// The member of a workspace that a given person (name, email) is: an account before somebody known there only.
const memberLike = `
  SELECT u.id FROM treadle.users AS u
  JOIN treadle.workspace_members AS m ON m.workspace_id = $1 AND m.user_id = u.id
  WHERE given.email IS NOT NULL AND lower(u.email) = lower(given.email)
  UNION ALL
  SELECT u.id FROM treadle.users AS u
  WHERE given.email IS NULL AND u.email IS NULL AND u.workspace_id = $1 AND lower(u.name) = lower(given.name)`;

/** The statements on users, their membership in workspaces and their roles. */
export class UserRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async findById(id: string): Promise<User | undefined> {
    return this.#one(`SELECT ${columns} FROM treadle.users AS u WHERE u.id = $1`, [id]);
  }

  /** The account with this email, whatever its case. */
  async findAccount(email: string): Promise<User | undefined> {
    return this.#one(
      `SELECT ${columns} FROM treadle.users AS u WHERE u.workspace_id IS NULL AND lower(u.email) = lower($1)`,
      [email],
    );
  }

  /** Undefined when the email has an account already. */
  async insertAccount(email: string, name: string): Promise<User | undefined> {
    return this.#one(
      `INSERT INTO treadle.users AS u (email, name) VALUES ($1, $2)
       ON CONFLICT (workspace_id, lower(email)) WHERE email IS NOT NULL DO NOTHING RETURNING ${columns}`,
      [email, name],
    );
  }

  /** Makes those of the people whom the workspace does not know. */
  async insertUnknownPeople(workspaceId: string, people: readonly Person[]): Promise<void> {
    await this.#db.query(
      `INSERT INTO treadle.users (workspace_id, email, name)
       SELECT $1::uuid, given.email, given.name
       FROM (SELECT DISTINCT ON (coalesce(lower(email), ''), CASE WHEN email IS NULL THEN lower(name) END) name, email
         FROM unnest($2::text[], $3::text[]) AS given (name, email)) AS given
       WHERE NOT EXISTS (${memberLike})
       ON CONFLICT DO NOTHING`,
      [workspaceId, people.map(({ name }) => name), people.map(({ email }) => email ?? null)],
    );
  }

  /** The ids of the people in the workspace, in the order given; null for somebody it does not know. */
  async findPeople(workspaceId: string, people: readonly Person[]): Promise<readonly (string | null)[]> {
    const { rows } = await this.#db.query<{ id: string | null }>(
      `SELECT (SELECT found.id FROM (${memberLike}) AS found JOIN treadle.users AS u USING (id)
         ORDER BY u.workspace_id IS NOT NULL, u.id LIMIT 1) AS id
       FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS given (name, email, position)
       ORDER BY position`,
      [workspaceId, people.map(({ name }) => name), people.map(({ email }) => email ?? null)],
    );
    return rows.map(({ id }) => id);
  }

  async addMember(workspaceId: string, userId: string): Promise<void> {
    await this.#db.query(
      'INSERT INTO treadle.workspace_members (workspace_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING',
      [workspaceId, userId],
    );
  }

  async isMember(workspaceId: string, userId: string): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      'SELECT FROM treadle.workspace_members WHERE workspace_id = $1 AND user_id = $2',
      [workspaceId, userId],
    );
    return rowCount === 1;
  }

  /** Makes the role unless there is one of that name; a role that exists keeps its permissions. */
  async ensureRole(role: Omit<Role, 'id'>): Promise<Role> {
    await this.#db.query(
      `INSERT INTO treadle.roles (workspace_id, name, permissions, is_system_role) VALUES ($1, $2, $3, $4)
       ON CONFLICT (workspace_id, name) DO NOTHING`,
      [role.workspaceId, role.name, role.permissions, role.isSystemRole],
    );
    const { rows } = await this.#db.query<RoleRow>(
      `SELECT id, workspace_id, name, permissions, is_system_role FROM treadle.roles
       WHERE workspace_id = $1 AND name = $2`,
      [role.workspaceId, role.name],
    );
    const [row] = rows;
    if (!row) throw new Error('the role disappeared while it was made');
    return toRole(row);
  }

  async grant(workspaceId: string, userId: string, roleId: string): Promise<void> {
    await this.#db.query(
      `INSERT INTO treadle.user_roles (workspace_id, user_id, role_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
      [workspaceId, userId, roleId],
    );
  }

  /** The roles a user holds in a workspace, by name. */
  async rolesOf(workspaceId: string, userId: string): Promise<readonly Role[]> {
    const { rows } = await this.#db.query<RoleRow>(
      `SELECT r.id, r.workspace_id, r.name, r.permissions, r.is_system_role
       FROM treadle.user_roles AS held JOIN treadle.roles AS r ON r.id = held.role_id
       WHERE held.workspace_id = $1 AND held.user_id = $2 ORDER BY r.name`,
      [workspaceId, userId],
    );
    return rows.map(toRole);
  }

  /** Accounts that may be used, latest first. */
  async findActiveUsers(limit: number): Promise<readonly User[]> {
    const { rows } = await this.#db.query<UserRow>(
      `SELECT ${columns} FROM treadle.users AS u WHERE u.workspace_id IS NULL AND u.status = 'active'
       ORDER BY u.created_at DESC, u.id DESC LIMIT $1`,
      [limit],
    );
    return rows.map(toUser);
  }

  /** Undefined when there is no such user. */
  async statsOf(id: string): Promise<UserStats | undefined> {
    const { rows } = await this.#db.query<{
      documents: number;
      published: number;
      workspaces: number;
      last_change_at: Date | null;
    }>(
      // Through the workspaces, because documents are found by author in one of them.
      `SELECT count(k.id)::integer AS documents, (count(k.id) FILTER (WHERE k.status = 'published'))::integer AS published,
         count(DISTINCT m.workspace_id)::integer AS workspaces, max(k.updated_at) AS last_change_at
       FROM treadle.users AS u
       LEFT JOIN treadle.workspace_members AS m ON m.user_id = u.id
       LEFT JOIN treadle.knowledge AS k ON k.workspace_id = m.workspace_id AND k.author_id = u.id
       WHERE u.id = $1 GROUP BY u.id`,
      [id],
    );
    const [row] = rows;
    return (
      row && {
        documents: row.documents,
        published: row.published,
        workspaces: row.workspaces,
        lastChangeAt: row.last_change_at,
      }
    );
  }

  /** Who has written most of a workspace's documents; of two with as many, who wrote last. */
  async topContributors(workspaceId: string, limit: number): Promise<readonly Contributor[]> {
    const { rows } = await this.#db.query<{ id: string; name: string; documents: number; last_change_at: Date }>(
      `SELECT u.id, u.name, count(*)::integer AS documents, max(k.updated_at) AS last_change_at
       FROM treadle.knowledge AS k JOIN treadle.users AS u ON u.id = k.author_id
       WHERE k.workspace_id = $1 AND u.status = 'active'
       GROUP BY u.id ORDER BY documents DESC, last_change_at DESC, u.id LIMIT $2`,
      [workspaceId, limit],
    );
    return rows.map((row) => ({
      id: row.id,
      name: row.name,
      documents: row.documents,
      lastChangeAt: row.last_change_at,
    }));
  }

  async #one(text: string, values: unknown[]): Promise<User | undefined> {
    const { rows } = await this.#db.query<UserRow>(text, values);
    return rows[0] && toUser(rows[0]);
  }
}
