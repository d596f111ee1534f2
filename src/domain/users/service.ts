import { z } from 'zod';
import { notFound, validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { ensureAuthors } from './ensure-authors.ts';
import { createUserInput, person, type CreateUserInput, type PersonInput } from './input.ts';
import { UserRepository } from './repository.ts';
import type { Contributor, Role, User, UserStats } from './types.ts';

const fault = (path: string, message: string) => () => validationError('the role', [{ path, message }]);

/** Accounts, the people known in single workspaces, and who holds which role where. There are no passwords. */
export class UserService {
  readonly #log: Log;
  readonly #postgres: Postgres;
  readonly #users: UserRepository;

  constructor({ postgres, log }: { readonly postgres: Postgres; readonly log: Log }) {
    this.#postgres = postgres;
    this.#log = log;
    this.#users = new UserRepository(postgres);
  }

  async findById(id: string): Promise<User | undefined> {
    return isUuid(id) ? this.#users.findById(id) : undefined;
  }

  /** The account with this email, whatever its case. */
  async findByEmail(email: string): Promise<User | undefined> {
    return email.includes('\0') ? undefined : this.#users.findAccount(email.trim());
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

  /** The account with this email; made when there is none. The name of one that exists stays. */
  async ensure(input: CreateUserInput): Promise<User> {
    const { email, name = email } = parseOrThrow(createUserInput, input, 'the user');
    const known = await this.#users.findAccount(email);
    if (known) return known;
    const created = await this.#users.insertAccount(email, name);
    if (created) {
      this.#log.info({ event: 'user.created', userId: created.id });
      return created;
    }
    const other = await this.#users.findAccount(email);
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
      () => this.#users.addMember(workspaceId, userId),
    );
  }

  async isMember(workspaceId: string, userId: string): Promise<boolean> {
    return isUuid(workspaceId) && isUuid(userId) ? this.#users.isMember(workspaceId, userId) : false;
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
      () => this.#users.grant(workspaceId, userId, roleId),
    );
  }

  async rolesOf(workspaceId: string, userId: string): Promise<readonly Role[]> {
    return isUuid(workspaceId) && isUuid(userId) ? this.#users.rolesOf(workspaceId, userId) : [];
  }

  #limit(limit: number): number {
    return parseOrThrow(z.object({ limit: z.int().min(1).max(1_000) }), { limit }, 'the range').limit;
  }
}
