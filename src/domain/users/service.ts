import { z } from 'zod';
import { AppError, notFound, validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import { readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { expectedRevisionOf, refusal, type Expectation } from '../../lib/postgres/revision.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { announceChange, type Change } from '../knowledge/change.ts';
import { ensureAuthors } from './ensure-authors.ts';
import {
  createUserInput,
  person,
  updateUserInput,
  userFilter,
  type CreateUserInput,
  type PersonInput,
  type UpdateUserInput,
  type UserFilter,
} from './input.ts';
import { MemberRepository } from './member-repository.ts';
import { UserRepository } from './repository.ts';
import type { Contributor, Role, User, UserStats } from './types.ts';

const deletionTimeoutMs = 600_000;
const emailKey = z.tuple([z.string()]);
const idKey = z.tuple([z.guid()]);

const taken = (email: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', 'an account with this email exists already', {
    entity: 'user',
    entityId: email,
  });

const fault = (path: string, message: string) => () => validationError('the role', [{ path, message }]);

/** Accounts, the people known in single workspaces, and who holds which role where. There are no passwords. */
export class UserService {
  readonly #log: Log;
  readonly #postgres: Postgres;
  readonly #users: UserRepository;
  readonly #members: MemberRepository;

  constructor({ postgres, log }: { readonly postgres: Postgres; readonly log: Log }) {
    this.#postgres = postgres;
    this.#log = log;
    this.#users = new UserRepository(postgres.db);
    this.#members = new MemberRepository(postgres.db);
  }

  async findById(id: string): Promise<User | undefined> {
    return isUuid(id) ? this.#users.findById(id) : undefined;
  }

  /** The account with this email, whatever its case. */
  async findByEmail(email: string): Promise<User | undefined> {
    return email.includes('\0') ? undefined : this.#users.findByEmail(email.trim());
  }

  /** Accounts by email, 20 a page. @throws AppError VALIDATION_ERROR. */
  async findMany({ limit, cursor, ...filter }: UserFilter & PageRequest = {}): Promise<Page<User>> {
    const { status } = parseOrThrow(userFilter, filter, 'the filter');
    const list = { list: 'users', scope: [status], key: emailKey };
    return this.#users.findMany(status, await readPageRequest(this.#postgres, { limit, cursor }, list));
  }

  /** How many accounts there are. @throws AppError VALIDATION_ERROR. */
  async count(filter: UserFilter = {}): Promise<number> {
    return this.#users.count(parseOrThrow(userFilter, filter, 'the filter').status);
  }

  /** Accounts that may be used, latest first: 50 unless `limit` (up to 1,000) says otherwise. @throws AppError VALIDATION_ERROR. */
  async findActiveUsers(limit = 50): Promise<readonly User[]> {
    return this.#users.findActiveUsers(this.#limit(limit));
  }

  /** What a user has written. @throws AppError NOT_FOUND. */
  async getUserStats(userId: string): Promise<UserStats> {
    const stats = isUuid(userId) ? await this.#users.statsOf(userId) : undefined;
    if (!stats) throw notFound('user', userId);
    return stats;
  }

  /** Who has written most of a workspace's documents: 10 unless `limit` (up to 1,000) says otherwise. @throws AppError VALIDATION_ERROR. */
  async getTopContributors(workspaceId: string, limit = 10): Promise<readonly Contributor[]> {
    const most = this.#limit(limit);
    return isUuid(workspaceId) ? this.#users.topContributors(workspaceId, most) : [];
  }

  /** Makes an account. @throws AppError VALIDATION_ERROR naming the fields, DATA_CONSISTENCY_ERROR for an email in use. */
  async create(input: CreateUserInput): Promise<User> {
    const { email, name = email } = parseOrThrow(createUserInput, input, 'the user');
    const created = await this.#users.create(email, name);
    if (!created) throw taken(email);
    this.#log.info({ event: 'user.created', userId: created.id });
    return created;
  }

  /**
   * Changes the fields given of an account or of somebody known in one workspace. Whoever is disabled may not use their
   * keys. What is equal already is no change.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, or for a name by which
   * the workspace knows somebody else; NOT_FOUND, VALIDATION_ERROR naming the fields.
   */
  async update(userId: string, patch: UpdateUserInput, expectation: Expectation = {}): Promise<User> {
    const fields = parseOrThrow(updateUserInput, patch, 'the user');
    const expected = expectedRevisionOf(expectation);
    const nameTaken = (): AppError =>
      new AppError('DATA_CONSISTENCY_ERROR', 'the workspace knows somebody else by this name', {
        entity: 'user',
        entityId: userId,
      });
    const updated = await explainConstraints({ users_name_key: nameTaken }, async () =>
      isUuid(userId) ? this.#users.update(userId, fields, expected) : undefined,
    );
    return updated ?? this.#refuse(userId, expected);
  }

  /**
   * Deletes a user with their keys and roles. Their documents stay, each with a version that has no author.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, NOT_FOUND.
   */
  async delete(userId: string, { expectedRevision, ...change }: Change & Expectation = {}): Promise<void> {
    const expected = expectedRevisionOf({ expectedRevision });
    if (!isUuid(userId)) throw notFound('user', userId);
    const deleted = await this.#postgres.transaction(
      async (tx) => {
        await announceChange(tx, change);
        return new UserRepository(tx.db).delete(userId, expected);
      },
      { name: 'user.delete', timeoutMs: deletionTimeoutMs },
    );
    if (!deleted) return this.#refuse(userId, expected);
    this.#log.info({ event: 'user.deleted', userId });
  }

  /** The account with this email; made when there is none. The name of one that exists stays. */
  async ensure(input: CreateUserInput): Promise<User> {
    const { email, name = email } = parseOrThrow(createUserInput, input, 'the user');
    const known = await this.#users.findByEmail(email);
    if (known) return known;
    const created = await this.#users.create(email, name);
    if (created) {
      this.#log.info({ event: 'user.created', userId: created.id });
      return created;
    }
    const other = await this.#users.findByEmail(email);
    if (!other) throw notFound('user', email);
    return other;
  }

  /**
   * The ids of authors in a workspace, in the order given: found among its members by email, or by name where there is no
   * email; made for this workspace alone when it does not know them.
   */
  async ensureAuthors(workspaceId: string, people: readonly PersonInput[]): Promise<readonly string[]> {
    const parsed = people.map((given) => parseOrThrow(person, given, 'the author'));
    return this.#postgres.transaction((tx) => ensureAuthors(tx, workspaceId, parsed), { name: 'user.ensure-authors' });
  }

  /** Lets an account be named in a workspace. @throws AppError NOT_FOUND for an unknown workspace or user. */
  async addMember(workspaceId: string, userId: string): Promise<void> {
    await explainConstraints(
      {
        workspace_members_workspace_fkey: () => notFound('workspace', workspaceId),
        workspace_members_user_fkey: () => notFound('user', userId),
      },
      () => this.#members.add(workspaceId, userId),
    );
  }

  /** Who may be named in a workspace, in the order in which they were made, 20 a page. @throws AppError VALIDATION_ERROR, NOT_FOUND for what is no id. */
  async findMembers(
    workspaceId: string,
    { limit, cursor, ...filter }: UserFilter & PageRequest = {},
  ): Promise<Page<User>> {
    const { status } = parseOrThrow(userFilter, filter, 'the filter');
    if (!isUuid(workspaceId)) throw notFound('workspace', workspaceId);
    const list = { list: 'members', scope: [workspaceId, status], key: idKey };
    return this.#members.findMany(workspaceId, status, await readPageRequest(this.#postgres, { limit, cursor }, list));
  }

  /** How many may be named in a workspace. @throws AppError VALIDATION_ERROR. */
  async countMembers(workspaceId: string, filter: UserFilter = {}): Promise<number> {
    const { status } = parseOrThrow(userFilter, filter, 'the filter');
    return isUuid(workspaceId) ? this.#members.count(workspaceId, status) : 0;
  }

  async isMember(workspaceId: string, userId: string): Promise<boolean> {
    return isUuid(workspaceId) && isUuid(userId) ? this.#members.has(workspaceId, userId) : false;
  }

  /**
   * Gives a member a role in a workspace: one of that workspace or of the system.
   * @throws AppError VALIDATION_ERROR when the user is no member, or the role belongs to another workspace.
   */
  async grantRole(workspaceId: string, userId: string, roleId: string): Promise<void> {
    await explainConstraints(
      {
        user_roles_member_fkey: fault('userId', 'is no member of the workspace'),
        user_roles_role_fkey: fault('roleId', 'is no role of the workspace or the system'),
      },
      () => this.#members.grant(workspaceId, userId, roleId),
    );
  }

  /** Takes a role from a member. False when they did not have it. */
  async revokeRole(workspaceId: string, userId: string, roleId: string): Promise<boolean> {
    const known = isUuid(workspaceId) && isUuid(userId) && isUuid(roleId);
    return known ? this.#members.revoke(workspaceId, userId, roleId) : false;
  }

  /** The roles somebody has in a workspace, by name. */
  async rolesOf(workspaceId: string, userId: string): Promise<readonly Role[]> {
    return isUuid(workspaceId) && isUuid(userId) ? this.#members.rolesOf(workspaceId, userId) : [];
  }

  async #refuse(userId: string, expected: number | undefined): Promise<never> {
    const actual = isUuid(userId) ? (await this.#users.findById(userId))?.revision : undefined;
    throw refusal({ entity: 'user', entityId: userId, expected, actual });
  }

  #limit(limit: number): number {
    return parseOrThrow(z.object({ limit: z.int().min(1).max(1_000) }), { limit }, 'the range').limit;
  }
}
