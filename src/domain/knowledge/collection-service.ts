import { z } from 'zod';
import { AppError, notFound } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import { readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import { kyselyThrough } from '../../lib/postgres/kysely-through.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { expectedRevisionOf, refusal, type Expectation } from '../../lib/postgres/revision.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import type { WorkspaceCache } from '../caching/workspace-cache.ts';
import { runChange, type ChangeContext } from './change.ts';
import { CollectionRepository } from './collection-repository.ts';
import {
  createCollectionInput,
  updateCollectionInput,
  type CreateCollectionInput,
  type UpdateCollectionInput,
} from './input.ts';
import type { Collection } from './types.ts';

const deletionTimeoutMs = 600_000;
const nameKey = z.tuple([z.string()]);

const taken = (name: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', `a collection named ${JSON.stringify(name)} exists already`, {
    entity: 'collection',
    entityId: name,
  });

/** The collections of workspaces. A document lies in one at most. */
export class CollectionService {
  readonly #postgres: Postgres;
  readonly #collections: CollectionRepository;

  readonly #cache: WorkspaceCache | undefined;

  constructor({ postgres, cache }: { readonly postgres: Postgres; readonly cache?: WorkspaceCache | undefined }) {
    this.#postgres = postgres;
    this.#cache = cache;
    this.#collections = new CollectionRepository(postgres.reader.db);
  }

  /** Undefined for a collection of another workspace too. */
  async findById(workspaceId: string, id: string): Promise<Collection | undefined> {
    return isUuid(workspaceId) && isUuid(id) ? this.#collections.findById(workspaceId, id) : undefined;
  }

  /** The workspace's collections by name, 20 a page. @throws AppError VALIDATION_ERROR, NOT_FOUND for what is no id. */
  async findMany(workspaceId: string, page: PageRequest = {}): Promise<Page<Collection>> {
    if (!isUuid(workspaceId)) throw notFound('workspace', workspaceId);
    const list = { list: 'collections', scope: [workspaceId], key: nameKey };
    return this.#collections.findMany(workspaceId, await readPageRequest(this.#postgres, page, list));
  }

  async count(workspaceId: string): Promise<number> {
    return isUuid(workspaceId) ? this.#collections.count(workspaceId) : 0;
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND for the workspace, DATA_CONSISTENCY_ERROR for a name in use. */
  async create(workspaceId: string, input: CreateCollectionInput, context: ChangeContext = {}): Promise<Collection> {
    const fields = parseOrThrow(createCollectionInput, input, 'the collection');
    if (!isUuid(workspaceId)) throw notFound('workspace', workspaceId);
    const created = await explainConstraints(
      { collections_workspace_fkey: () => notFound('workspace', workspaceId) },
      () =>
        runChange(this.#postgres, context, { name: 'collection.create' }, (tx) =>
          new CollectionRepository(kyselyThrough(tx)).create(workspaceId, fields),
        ),
    );
    if (!created) throw taken(fields.name);
    return created;
  }

  /**
   * Sets the fields given; documents keep their versions. What is equal already is no change.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, or for a name in use;
   * NOT_FOUND, VALIDATION_ERROR naming the fields.
   */
  async update(
    workspaceId: string,
    id: string,
    patch: UpdateCollectionInput,
    { expectedRevision, ...context }: ChangeContext & Expectation = {},
  ): Promise<Collection> {
    const fields = parseOrThrow(updateCollectionInput, patch, 'the collection');
    const expected = expectedRevisionOf({ expectedRevision });
    if (!isUuid(workspaceId) || !isUuid(id)) throw notFound('collection', id);
    const updated = await explainConstraints({ collections_name_key: () => taken(fields.name ?? '') }, () =>
      runChange(this.#postgres, context, { name: 'collection.update' }, async (tx) => {
        const collections = new CollectionRepository(kyselyThrough(tx));
        const changed = await collections.update(workspaceId, id, fields, expected);
        if (changed) return changed;
        const actual = (await collections.findById(workspaceId, id))?.revision;
        throw refusal({ entity: 'collection', entityId: id, expected, actual });
      }),
    );
    if (!context.tx) await this.#cache?.changed({ kind: 'names', workspaceId });
    return updated;
  }

  /**
   * Deletes a collection. Its documents stay, each with a new version without it.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, NOT_FOUND.
   */
  async delete(
    workspaceId: string,
    id: string,
    { expectedRevision, ...context }: ChangeContext & Expectation = {},
  ): Promise<void> {
    const expected = expectedRevisionOf({ expectedRevision });
    if (!isUuid(workspaceId) || !isUuid(id)) throw notFound('collection', id);
    const options = { name: 'collection.delete', timeoutMs: deletionTimeoutMs };
    await runChange(this.#postgres, context, options, async (tx) => {
      const collections = new CollectionRepository(kyselyThrough(tx));
      if (await collections.delete(workspaceId, id, expected)) return;
      const actual = (await collections.findById(workspaceId, id))?.revision;
      throw refusal({ entity: 'collection', entityId: id, expected, actual });
    });
    if (!context.tx) await this.#cache?.changed({ kind: 'names', workspaceId });
  }
}
