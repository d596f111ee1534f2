import { z } from 'zod';
import { AppError, notFound } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import { readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import { kyselyThrough } from '../../lib/postgres/kysely-through.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { expectedRevisionOf, refusal, type Expectation } from '../../lib/postgres/revision.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import type { WorkspaceCache } from '../caching/workspace-cache.ts';
import {
  createWorkspaceInput,
  updateWorkspaceInput,
  type CreateWorkspaceInput,
  type UpdateWorkspaceInput,
} from './input.ts';
import { WorkspaceRepository } from './repository.ts';
import { systemWorkspaceName, type Workspace } from './types.ts';

const deletionTimeoutMs = 600_000;
const nameKey = z.tuple([z.string()]);

const taken = (name: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', `a workspace named ${JSON.stringify(name)} exists already`, {
    entity: 'workspace',
    entityId: name,
  });

export interface WorkspaceServiceParts {
  readonly postgres: Postgres;
  readonly log: Log;
  /** Undefined: every read asks Postgres. */
  readonly cache?: WorkspaceCache | undefined;
}

/** Workspaces by name or id. Everything in Treadle that an app writes belongs to one. */
export class WorkspaceService {
  readonly #postgres: Postgres;
  readonly #log: Log;
  readonly #workspaces: WorkspaceRepository;
  readonly #cache: WorkspaceCache | undefined;

  constructor({ postgres, log, cache }: WorkspaceServiceParts) {
    this.#postgres = postgres;
    this.#cache = cache;
    this.#log = log;
    this.#workspaces = new WorkspaceRepository(postgres.reader.db);
  }

  /** @throws AppError VALIDATION_ERROR naming the fields, DATA_CONSISTENCY_ERROR for a name in use. */
  async create(input: CreateWorkspaceInput): Promise<Workspace> {
    const fields = parseOrThrow(createWorkspaceInput, input, 'the workspace');
    const created = await this.#workspaces.create(fields);
    if (!created) throw taken(fields.name);
    this.#log.info({ event: 'workspace.created', workspaceId: created.id, name: created.name });
    return created;
  }

  /** In the order of their names, 20 a page. @throws AppError VALIDATION_ERROR. */
  async findMany(page: PageRequest = {}): Promise<Page<Workspace>> {
    const list = { list: 'workspaces', scope: [], key: nameKey };
    return this.#workspaces.findMany(await readPageRequest(this.#postgres, page, list));
  }

  count(): Promise<number> {
    return this.#workspaces.count();
  }

  async findById(id: string): Promise<Workspace | undefined> {
    if (!isUuid(id)) return undefined;
    if (!this.#cache || this.#postgres.reader.mustShowPosition) return this.#workspaces.findById(id);
    const primary = new WorkspaceRepository(kyselyThrough(this.#postgres));
    return this.#cache.metadata(id.toLowerCase(), () => primary.findById(id));
  }

  /** By name or id; undefined when there is none. */
  async find(reference: string): Promise<Workspace | undefined> {
    if (reference.includes('\0')) return undefined;
    return isUuid(reference) ? this.findById(reference) : this.#workspaces.findByName(reference);
  }

  /** By name or id. @throws AppError NOT_FOUND. */
  async get(reference: string): Promise<Workspace> {
    const workspace = await this.find(reference);
    if (!workspace) throw notFound('workspace', reference);
    return workspace;
  }

  /** The workspace of that name or id; made when the name is new. @throws AppError NOT_FOUND for an id, VALIDATION_ERROR. */
  async ensure(reference: string): Promise<Workspace> {
    const known = await this.find(reference);
    if (known) return known;
    if (isUuid(reference)) throw notFound('workspace', reference);
    const { name } = parseOrThrow(createWorkspaceInput, { name: reference }, 'the workspace');
    return (await this.#workspaces.create({ name })) ?? this.get(name);
  }

  /**
   * Sets the fields given. What is equal already is no change.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, or for a name in use;
   * NOT_FOUND, VALIDATION_ERROR.
   */
  async update(reference: string, patch: UpdateWorkspaceInput, expectation: Expectation = {}): Promise<Workspace> {
    const fields = parseOrThrow(updateWorkspaceInput, patch, 'the workspace');
    const expected = expectedRevisionOf(expectation);
    const workspace = await this.get(reference);
    if (fields.name !== undefined && fields.name !== workspace.name) this.#refuseForSystem(workspace, 'renamed');
    const updated = await explainConstraints({ workspaces_name_key: () => taken(fields.name ?? workspace.name) }, () =>
      this.#workspaces.update(workspace.id, fields, expected),
    );
    if (!updated) return this.#refuse(workspace.id, expected);
    await this.#cache?.changed({ kind: 'workspace', workspaceId: workspace.id });
    return updated;
  }

  /**
   * Deletes the workspace with everything in it.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, NOT_FOUND.
   */
  async delete(reference: string, expectation: Expectation = {}): Promise<void> {
    const expected = expectedRevisionOf(expectation);
    const workspace = await this.get(reference);
    this.#refuseForSystem(workspace, 'deleted');
    const deleted = await this.#postgres.transaction(
      (tx) => new WorkspaceRepository(tx.db).delete(workspace.id, expected),
      { name: 'workspace.delete', timeoutMs: deletionTimeoutMs },
    );
    if (!deleted) return this.#refuse(workspace.id, expected);
    await this.#cache?.changed({ kind: 'workspace', workspaceId: workspace.id });
    this.#log.info({ event: 'workspace.deleted', workspaceId: workspace.id, name: workspace.name });
  }

  async #refuse(id: string, expected: number | undefined): Promise<never> {
    const actual = (await this.#workspaces.findById(id))?.revision;
    throw refusal({ entity: 'workspace', entityId: id, expected, actual });
  }

  #refuseForSystem(workspace: Workspace, verb: string): void {
    if (workspace.name !== systemWorkspaceName) return;
    throw new AppError('DATA_CONSISTENCY_ERROR', `the workspace ${systemWorkspaceName} cannot be ${verb}`, {
      entity: 'workspace',
      entityId: workspace.id,
    });
  }
}
