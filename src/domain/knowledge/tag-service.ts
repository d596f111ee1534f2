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
import { createTagInput, updateTagInput, type CreateTagInput, type UpdateTagInput } from './input.ts';
import { TagRepository } from './tag-repository.ts';
import type { PopularTag, Tag } from './types.ts';

const deletionTimeoutMs = 600_000;
const popularLimit = z.int('must be a whole number').min(1).max(100);
const nameKey = z.tuple([z.string()]);

const taken = (name: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', `a tag named ${JSON.stringify(name)} exists already`, {
    entity: 'tag',
    entityId: name,
  });

/** The tags of workspaces. Writing a document makes those it names; here they are renamed and deleted for all at once. */
export class TagService {
  readonly #postgres: Postgres;
  readonly #tags: TagRepository;

  readonly #cache: WorkspaceCache | undefined;

  constructor({ postgres, cache }: { readonly postgres: Postgres; readonly cache?: WorkspaceCache | undefined }) {
    this.#postgres = postgres;
    this.#cache = cache;
    this.#tags = new TagRepository(postgres.reader.db);
  }

  /** Undefined for a tag of another workspace too. */
  async findById(workspaceId: string, id: string): Promise<Tag | undefined> {
    return isUuid(workspaceId) && isUuid(id) ? this.#tags.findById(workspaceId, id) : undefined;
  }

  /** The workspace's tags by name, 20 a page. @throws AppError VALIDATION_ERROR, NOT_FOUND for what is no id. */
  async findMany(workspaceId: string, page: PageRequest = {}): Promise<Page<Tag>> {
    if (!isUuid(workspaceId)) throw notFound('workspace', workspaceId);
    const list = { list: 'tags', scope: [workspaceId], key: nameKey };
    return this.#tags.findMany(workspaceId, await readPageRequest(this.#postgres, page, list));
  }

  /** Those of most documents first: 20 unless `limit` (up to 100) says otherwise. @throws AppError VALIDATION_ERROR. */
  async popular(workspaceId: string, limit = 20): Promise<readonly PopularTag[]> {
    const most = parseOrThrow(popularLimit, limit, 'the limit');
    if (!isUuid(workspaceId)) return [];
    if (!this.#cache || this.#postgres.reader.mustShowPosition) return this.#tags.popular(workspaceId, most);
    const primary = new TagRepository(kyselyThrough(this.#postgres));
    return this.#cache.popularTags(workspaceId, most, () => primary.popular(workspaceId, most));
  }

  async count(workspaceId: string): Promise<number> {
    return isUuid(workspaceId) ? this.#tags.count(workspaceId) : 0;
  }

  /** @throws AppError VALIDATION_ERROR naming the field, NOT_FOUND for the workspace, DATA_CONSISTENCY_ERROR for a name in use. */
  async create(workspaceId: string, input: CreateTagInput, context: ChangeContext = {}): Promise<Tag> {
    const { name } = parseOrThrow(createTagInput, input, 'the tag');
    if (!isUuid(workspaceId)) throw notFound('workspace', workspaceId);
    const created = await explainConstraints({ tags_workspace_fkey: () => notFound('workspace', workspaceId) }, () =>
      runChange(this.#postgres, context, { name: 'tag.create' }, (tx) =>
        new TagRepository(kyselyThrough(tx)).create(workspaceId, name),
      ),
    );
    if (!created) throw taken(name);
    return created;
  }

  /**
   * Renames a tag on all documents that carry it; they keep their versions.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, or for a name in use;
   * NOT_FOUND, VALIDATION_ERROR naming the field.
   */
  async update(
    workspaceId: string,
    id: string,
    patch: UpdateTagInput,
    { expectedRevision, ...context }: ChangeContext & Expectation = {},
  ): Promise<Tag> {
    const fields = parseOrThrow(updateTagInput, patch, 'the tag');
    const expected = expectedRevisionOf({ expectedRevision });
    if (!isUuid(workspaceId) || !isUuid(id)) throw notFound('tag', id);
    const updated = await explainConstraints({ tags_name_key: () => taken(fields.name ?? '') }, () =>
      runChange(this.#postgres, context, { name: 'tag.update' }, async (tx) => {
        const tags = new TagRepository(kyselyThrough(tx));
        const renamed = await tags.update(workspaceId, id, fields, expected);
        if (renamed) return renamed;
        const actual = (await tags.findById(workspaceId, id))?.revision;
        throw refusal({ entity: 'tag', entityId: id, expected, actual });
      }),
    );
    if (!context.tx) await this.#cache?.changed({ kind: 'names', workspaceId });
    return updated;
  }

  /**
   * Deletes a tag. The documents that carried it stay, each with a new version without it.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, NOT_FOUND.
   */
  async delete(
    workspaceId: string,
    id: string,
    { expectedRevision, ...context }: ChangeContext & Expectation = {},
  ): Promise<void> {
    const expected = expectedRevisionOf({ expectedRevision });
    if (!isUuid(workspaceId) || !isUuid(id)) throw notFound('tag', id);
    const options = { name: 'tag.delete', timeoutMs: deletionTimeoutMs };
    await runChange(this.#postgres, context, options, async (tx) => {
      const tags = new TagRepository(kyselyThrough(tx));
      const actual = await tags.lock(workspaceId, id);
      if (actual === undefined || (expected !== undefined && expected !== actual))
        throw refusal({ entity: 'tag', entityId: id, expected, actual });
      await tags.delete(workspaceId, id);
    });
    if (!context.tx) await this.#cache?.changed({ kind: 'names', workspaceId });
  }
}
