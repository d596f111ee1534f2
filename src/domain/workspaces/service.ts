import { AppError, notFound } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import type { Page, PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import {
  createWorkspaceInput,
  updateWorkspaceInput,
  type CreateWorkspaceInput,
  type UpdateWorkspaceInput,
} from './input.ts';
import { WorkspaceRepository } from './repository.ts';
import { systemWorkspaceName, type Workspace } from './types.ts';

const deletionTimeoutMs = 600_000;

const taken = (name: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', `a workspace named ${JSON.stringify(name)} exists already`, {
    entity: 'workspace',
    entityId: name,
  });

/** Workspaces by name or id. Everything in Treadle that an app writes belongs to one. */
export class WorkspaceService {
  readonly #postgres: Postgres;
  readonly #log: Log;
  readonly #workspaces: WorkspaceRepository;

  constructor({ postgres, log }: { readonly postgres: Postgres; readonly log: Log }) {
    this.#postgres = postgres;
    this.#log = log;
    this.#workspaces = new WorkspaceRepository(postgres.reader);
  }

  /** @throws AppError VALIDATION_ERROR naming the fields, DATA_CONSISTENCY_ERROR for a name in use. */
  async create(input: CreateWorkspaceInput): Promise<Workspace> {
    const fields = parseOrThrow(createWorkspaceInput, input, 'the workspace');
    const created = await this.#workspaces.insert(fields);
    if (!created) throw taken(fields.name);
    this.#log.info({ event: 'workspace.created', workspaceId: created.id, name: created.name });
    return created;
  }

  /** In the order of their names, 20 a page. */
  list(page: PageRequest = {}): Promise<Page<Workspace>> {
    return this.#workspaces.list(page);
  }

  /** By name or id; undefined when there is none. */
  find(reference: string): Promise<Workspace | undefined> {
    return reference.includes('\0') ? Promise.resolve(undefined) : this.#workspaces.find(reference);
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
    return (await this.#workspaces.insert({ name })) ?? this.get(name);
  }

  /** Sets the fields given. @throws AppError NOT_FOUND, VALIDATION_ERROR, DATA_CONSISTENCY_ERROR for a name in use. */
  async update(reference: string, patch: UpdateWorkspaceInput): Promise<Workspace> {
    const fields = parseOrThrow(updateWorkspaceInput, patch, 'the workspace');
    const workspace = await this.get(reference);
    if (fields.name !== undefined && fields.name !== workspace.name) this.#refuseForSystem(workspace, 'renamed');
    const updated = await explainConstraints({ workspaces_name_key: () => taken(fields.name ?? workspace.name) }, () =>
      this.#workspaces.update(workspace.id, fields),
    );
    if (!updated) throw notFound('workspace', reference);
    return updated;
  }

  /** Deletes the workspace with everything in it. @throws AppError NOT_FOUND. */
  async delete(reference: string): Promise<void> {
    const workspace = await this.get(reference);
    this.#refuseForSystem(workspace, 'deleted');
    const deleted = await this.#postgres.transaction((tx) => new WorkspaceRepository(tx).delete(workspace.id), {
      name: 'workspace.delete',
      timeoutMs: deletionTimeoutMs,
    });
    if (!deleted) throw notFound('workspace', reference);
    this.#log.info({ event: 'workspace.deleted', workspaceId: workspace.id, name: workspace.name });
  }

  #refuseForSystem(workspace: Workspace, verb: string): void {
    if (workspace.name !== systemWorkspaceName) return;
    throw new AppError('DATA_CONSISTENCY_ERROR', `the workspace ${systemWorkspaceName} cannot be ${verb}`, {
      entity: 'workspace',
      entityId: workspace.id,
    });
  }
}
