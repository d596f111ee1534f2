import { z } from 'zod';
import { AppError, notFound } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import { readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { expectedRevisionOf, refusal, type Expectation } from '../../lib/postgres/revision.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { createRoleInput, updateRoleInput, type CreateRoleInput, type UpdateRoleInput } from './input.ts';
import { RoleRepository } from './role-repository.ts';
import type { Role } from './types.ts';

const nameKey = z.tuple([z.string()]);

const taken = (name: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', `a role named ${JSON.stringify(name)} exists already`, {
    entity: 'role',
    entityId: name,
  });

/** Roles of workspaces. Those of the system are made by seeding, and stay as they are. */
export class RoleService {
  readonly #postgres: Postgres;
  readonly #roles: RoleRepository;

  constructor({ postgres }: { readonly postgres: Postgres }) {
    this.#postgres = postgres;
    this.#roles = new RoleRepository(postgres.db);
  }

  /** Undefined for a role of another workspace too. */
  async findById(workspaceId: string, id: string): Promise<Role | undefined> {
    return isUuid(workspaceId) && isUuid(id) ? this.#roles.findById(workspaceId, id) : undefined;
  }

  /** The workspace's own roles by name, 20 a page. @throws AppError VALIDATION_ERROR, NOT_FOUND for what is no id. */
  async findMany(workspaceId: string, page: PageRequest = {}): Promise<Page<Role>> {
    this.#requireId('workspace', workspaceId);
    const list = { list: 'roles', scope: [workspaceId], key: nameKey };
    return this.#roles.findMany(workspaceId, await readPageRequest(this.#postgres, page, list));
  }

  async count(workspaceId: string): Promise<number> {
    return isUuid(workspaceId) ? this.#roles.count(workspaceId) : 0;
  }

  /** @throws AppError VALIDATION_ERROR naming the fields, NOT_FOUND for the workspace, DATA_CONSISTENCY_ERROR for a name in use. */
  async create(workspaceId: string, input: CreateRoleInput): Promise<Role> {
    const fields = parseOrThrow(createRoleInput, input, 'the role');
    this.#requireId('workspace', workspaceId);
    const created = await explainConstraints({ roles_workspace_fkey: () => notFound('workspace', workspaceId) }, () =>
      this.#roles.create(workspaceId, fields),
    );
    if (!created) throw taken(fields.name);
    return created;
  }

  /** The system's role of that name; made unless there is one, whose permissions stay. */
  async ensureSystemRole(workspaceId: string, name: string, permissions: readonly string[]): Promise<Role> {
    const role =
      (await this.#roles.findByName(workspaceId, name)) ??
      (await this.#roles.create(workspaceId, { name, permissions, isSystemRole: true })) ??
      (await this.#roles.findByName(workspaceId, name));
    if (!role) throw notFound('role', name);
    return role;
  }

  /**
   * Changes the fields given; whoever holds the role has its new permissions. What is equal already is no change.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, for a name in use and for
   * a role of the system; NOT_FOUND, VALIDATION_ERROR naming the fields.
   */
  async update(workspaceId: string, id: string, patch: UpdateRoleInput, expectation: Expectation = {}): Promise<Role> {
    const fields = parseOrThrow(updateRoleInput, patch, 'the role');
    const expected = expectedRevisionOf(expectation);
    this.#requireIds(workspaceId, id);
    const updated = await explainConstraints({ roles_name_key: () => taken(fields.name ?? '') }, () =>
      this.#roles.update(workspaceId, id, fields, expected),
    );
    return updated ?? this.#refuse(workspaceId, id, expected);
  }

  /**
   * Deletes a role; whoever holds it loses it.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, and for a role of the
   * system; NOT_FOUND.
   */
  async delete(workspaceId: string, id: string, expectation: Expectation = {}): Promise<void> {
    const expected = expectedRevisionOf(expectation);
    this.#requireIds(workspaceId, id);
    if (!(await this.#roles.delete(workspaceId, id, expected))) await this.#refuse(workspaceId, id, expected);
  }

  #requireId(entity: string, id: string): void {
    if (!isUuid(id)) throw notFound(entity, id);
  }

  #requireIds(workspaceId: string, id: string): void {
    if (!isUuid(workspaceId) || !isUuid(id)) throw notFound('role', id);
  }

  async #refuse(workspaceId: string, id: string, expected: number | undefined): Promise<never> {
    const role = await this.#roles.findById(workspaceId, id);
    if (!role?.isSystemRole) throw refusal({ entity: 'role', entityId: id, expected, actual: role?.revision });
    throw new AppError('DATA_CONSISTENCY_ERROR', `the role ${role.name} belongs to the system, and stays as it is`, {
      entity: 'role',
      entityId: id,
    });
  }
}
