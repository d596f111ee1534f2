import { z } from 'zod';
import { AppError, notFound, validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { explainConstraints, type ConstraintErrors } from '../../lib/postgres/constraint-error.ts';
import { readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import { kyselyThrough } from '../../lib/postgres/kysely-through.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { ensureAuthors } from '../users/ensure-authors.ts';
import type { WorkspaceCache } from '../caching/workspace-cache.ts';
import type { Person } from '../users/types.ts';
import { runChange, type ChangeContext } from './change.ts';
import { knowledgeFilter, type KnowledgeFilter } from './filter.ts';
import {
  createKnowledgeInput,
  updateKnowledgeInput,
  type CreateKnowledgeInput,
  type UpdateKnowledgeInput,
  type UpsertDocument,
  type UpsertKnowledgeInput,
} from './input.ts';
import { KnowledgeRepository } from './repository.ts';
import { ensureTags, replaceTags } from './tags.ts';
import type { Knowledge, KnowledgeVersion, UpsertCounts } from './types.ts';
import { parseDocuments, upsertDocuments } from './upsert-many.ts';

export interface KnowledgeServiceParts {
  readonly postgres: Postgres;
  readonly log: Log;
  /** Undefined: every read asks Postgres. */
  readonly cache?: WorkspaceCache | undefined;
}

const upsertTimeoutMs = 120_000;
const latestCount = 20;

/** Refuses the change unless the document still has this version. */
export interface Expectation {
  readonly expectedVersion?: number | undefined;
}

const latestKey: z.ZodType<[updatedAt: string, id: string]> = z.tuple([z.iso.datetime(), z.guid()]);
const versionKey = z.tuple([z.string().regex(/^\d{1,9}$/)]);
const expectation = z.object({ expectedVersion: z.int().min(1).max(2_147_483_647).optional() });

const range = z.object({
  limit: z.number().int().min(1).max(1_000).default(20),
  offset: z.number().int().min(0).max(10_000).default(0),
});

const fault = (path: string, message: string) => () => validationError('the document', [{ path, message }]);

const constraintErrors = (workspaceId: string, sourceId: string | null | undefined): ConstraintErrors => {
  return {
    knowledge_workspace_fkey: () => notFound('workspace', workspaceId),
    tags_workspace_fkey: () => notFound('workspace', workspaceId),
    users_workspace_fkey: () => notFound('workspace', workspaceId),
    workspace_members_workspace_fkey: () => notFound('workspace', workspaceId),
    knowledge_author_fkey: fault('authorId', 'is no member of the workspace'),
    knowledge_collection_fkey: fault('collectionId', 'is no collection of the workspace'),
    // Whoever tags a document waits for a deletion of the tag, and finds it gone.
    knowledge_tags_tag_fkey: () =>
      new AppError('DATA_CONSISTENCY_ERROR', 'a tag was deleted meanwhile', { entity: 'tag' }, { retryable: true }),
    knowledge_metadata_length: fault('metadata', 'is too large'),
    knowledge_content_delta_length: fault('contentDelta', 'is too large'),
    knowledge_source_id_key: () =>
      new AppError('DATA_CONSISTENCY_ERROR', 'another document of the workspace has this sourceId', {
        entity: 'knowledge',
        ...(typeof sourceId === 'string' ? { entityId: sourceId } : {}),
      }),
  };
};

/** Documents of workspaces, with their history. Versions, events and embedding jobs are written by the database. */
export class KnowledgeService {
  readonly #postgres: Postgres;
  readonly #log: Log;
  readonly #documents: KnowledgeRepository;
  /** What a cache keeps is read from the primary: a replica may not have yet what was invalidated. */
  readonly #primary: KnowledgeRepository;
  readonly #cache: WorkspaceCache | undefined;

  constructor({ postgres, log, cache }: KnowledgeServiceParts) {
    this.#postgres = postgres;
    this.#log = log;
    this.#cache = cache;
    this.#documents = new KnowledgeRepository(postgres.reader.db);
    this.#primary = new KnowledgeRepository(kyselyThrough(postgres));
  }

  /** Undefined for a document of another workspace too. May be as old as {@link WorkspaceCache} allows. */
  async findById(workspaceId: string, id: string): Promise<Knowledge | undefined> {
    if (!isUuid(workspaceId) || !isUuid(id)) return undefined;
    const cache = this.#usable;
    if (!cache) return this.#documents.findById(workspaceId, id);
    return cache.document(workspaceId, id, () => this.#primary.findById(workspaceId, id));
  }

  /** As {@link findById}, as it is now. */
  async readById(workspaceId: string, id: string): Promise<Knowledge | undefined> {
    return isUuid(workspaceId) && isUuid(id) ? this.#primary.findById(workspaceId, id) : undefined;
  }

  /** Latest change first; 20 unless `limit` (up to 1,000) says otherwise. @throws AppError VALIDATION_ERROR. */
  async findMany(
    workspaceId: string,
    filter: KnowledgeFilter = {},
    part: { readonly limit?: number | undefined; readonly offset?: number | undefined } = {},
  ): Promise<readonly Knowledge[]> {
    const checked = parseOrThrow(knowledgeFilter, filter, 'the filter');
    const { limit, offset } = parseOrThrow(range, part, 'the range');
    if (!isUuid(workspaceId)) return [];
    const cache = this.#usable;
    if (!cache) return this.#documents.findMany(workspaceId, checked, { limit, offset });
    return cache.query(workspaceId, { many: { ...checked, limit, offset } }, () =>
      this.#primary.findMany(workspaceId, checked, { limit, offset }),
    );
  }

  /** Latest change first, 20 a page. @throws AppError VALIDATION_ERROR. */
  async findByWorkspace(
    workspaceId: string,
    { limit, cursor, ...filter }: KnowledgeFilter & PageRequest = {},
  ): Promise<Page<Knowledge>> {
    const checked = parseOrThrow(knowledgeFilter, filter, 'the filter');
    this.#requireId('workspace', workspaceId);
    const list = { list: 'knowledge', scope: [workspaceId, checked], key: latestKey };
    const start = await readPageRequest(this.#postgres, { limit, cursor }, list);
    const cache = this.#usable;
    if (!cache) return this.#documents.findByWorkspace(workspaceId, checked, start);
    const read = () => this.#primary.findByWorkspace(workspaceId, checked, start);
    const isLatest = start.key === undefined && start.limit === latestCount && Object.keys(checked).length === 0;
    return isLatest
      ? cache.latest(workspaceId, read)
      : cache.query(workspaceId, { page: { ...checked, ...start } }, read);
  }

  async count(workspaceId: string, filter: KnowledgeFilter = {}): Promise<number> {
    const checked = parseOrThrow(knowledgeFilter, filter, 'the filter');
    if (!isUuid(workspaceId)) return 0;
    const cache = this.#usable;
    if (!cache) return this.#documents.count(workspaceId, checked);
    return cache.query(workspaceId, { count: checked }, () => this.#primary.count(workspaceId, checked));
  }

  /**
   * Writes a document with its tags and author, which are made when the workspace does not have them.
   * @throws AppError VALIDATION_ERROR naming the fields, NOT_FOUND for the workspace, DATA_CONSISTENCY_ERROR for a
   * `sourceId` in use.
   */
  async create(workspaceId: string, input: CreateKnowledgeInput, context: ChangeContext = {}): Promise<Knowledge> {
    const { tags, author, authorId, ...fields } = parseOrThrow(createKnowledgeInput, input, 'the document');
    this.#requireId('workspace', workspaceId);
    const created = await explainConstraints(constraintErrors(workspaceId, fields.sourceId), () =>
      this.#change('knowledge.create', context, async (tx) => {
        const documents = new KnowledgeRepository(kyselyThrough(tx));
        await ensureTags(tx, workspaceId, tags);
        const id = await documents.create(
          workspaceId,
          {
            ...fields,
            contentDelta: fields.contentDelta ?? null,
            authorId: (await this.#authorId(tx, workspaceId, author)) ?? authorId ?? null,
            collectionId: fields.collectionId ?? null,
            sourceId: fields.sourceId ?? null,
          },
          tags,
        );
        return this.#written(documents, workspaceId, id);
      }),
    );
    await this.#changed(context, workspaceId, [created.id]);
    return created;
  }

  /**
   * Changes the fields given. What is equal already makes no version.
   * @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, NOT_FOUND,
   * VALIDATION_ERROR naming the fields.
   */
  async update(
    workspaceId: string,
    id: string,
    patch: UpdateKnowledgeInput,
    { expectedVersion, ...context }: ChangeContext & Expectation = {},
  ): Promise<Knowledge> {
    const { tags, author, authorId, ...fields } = parseOrThrow(updateKnowledgeInput, patch, 'the document');
    parseOrThrow(expectation, { expectedVersion }, 'the change');
    const updated = await explainConstraints(constraintErrors(workspaceId, fields.sourceId), () =>
      this.#change('knowledge.update', context, async (tx) => {
        const documents = new KnowledgeRepository(kyselyThrough(tx));
        await this.#lock(documents, workspaceId, id, expectedVersion);
        const person = author === null ? null : await this.#authorId(tx, workspaceId, author);
        const writer = person === undefined ? authorId : person;
        if (tags) await ensureTags(tx, workspaceId, tags);
        const retagged = tags !== undefined && (await replaceTags(tx, workspaceId, id, tags));
        await documents.update(workspaceId, id, { ...fields, authorId: writer }, { touch: retagged });
        return this.#written(documents, workspaceId, id);
      }),
    );
    await this.#changed(context, workspaceId, [id]);
    return updated;
  }

  /** @throws AppError DATA_CONSISTENCY_ERROR with `expected` and `actual` when somebody was faster, NOT_FOUND. */
  async delete(
    workspaceId: string,
    id: string,
    { expectedVersion, ...context }: ChangeContext & Expectation = {},
  ): Promise<void> {
    parseOrThrow(expectation, { expectedVersion }, 'the change');
    await this.#change('knowledge.delete', context, async (tx) => {
      const documents = new KnowledgeRepository(kyselyThrough(tx));
      await this.#lock(documents, workspaceId, id, expectedVersion);
      await documents.delete(workspaceId, id);
    });
    await this.#changed(context, workspaceId, [id]);
  }

  /**
   * Writes documents by their source ids, all or none: new ones are inserted, those that differ updated, and the others
   * left alone. Tags and authors are made when the workspace does not have them.
   * @throws AppError VALIDATION_ERROR naming every fault with the index of its document, NOT_FOUND for the workspace.
   */
  async upsertMany(
    workspaceId: string,
    documents: readonly UpsertDocument[],
    context: ChangeContext = {},
  ): Promise<UpsertCounts> {
    return this.upsertParsed(workspaceId, parseDocuments(documents), context);
  }

  /** As {@link upsertMany}, of documents that were checked where they were read. */
  async upsertParsed(
    workspaceId: string,
    documents: readonly UpsertKnowledgeInput[],
    context: ChangeContext = {},
  ): Promise<UpsertCounts> {
    this.#requireId('workspace', workspaceId);
    if (documents.length === 0) return { inserted: 0, updated: 0, unchanged: 0 };
    const counts = await explainConstraints(constraintErrors(workspaceId, undefined), () =>
      this.#change('knowledge.upsert-many', context, (tx) => upsertDocuments(tx, workspaceId, documents)),
    );
    if (counts.inserted + counts.updated > 0) await this.#changed(context, workspaceId);
    this.#log.debug({ event: 'knowledge.upserted', workspaceId, ...counts });
    return counts;
  }

  /** A document's history, latest version first, 20 a page. @throws AppError NOT_FOUND. */
  async versions(workspaceId: string, id: string, page: PageRequest = {}): Promise<Page<KnowledgeVersion>> {
    this.#requireId('knowledge', id);
    this.#requireId('workspace', workspaceId);
    const list = { list: 'knowledge-versions', scope: [workspaceId, id], key: versionKey };
    const found = await this.#documents.versions(workspaceId, id, await readPageRequest(this.#postgres, page, list));
    if (found.items.length === 0 && page.cursor === undefined) throw notFound('knowledge', id);
    return found;
  }

  /** Undefined: whoever reads here is to see all that was written up to a position, and asks a server that has it. */
  get #usable(): WorkspaceCache | undefined {
    return this.#postgres.reader.mustShowPosition ? undefined : this.#cache;
  }

  /** After the commit. In a transaction of the caller's nothing is committed yet: the change stream, or its stand-in, tells. */
  async #changed({ tx }: ChangeContext, workspaceId: string, ids?: string[]): Promise<void> {
    if (tx === undefined) await this.#cache?.changed({ kind: 'knowledge', workspaceId, ids });
  }

  #requireId(entity: string, id: string): void {
    if (!isUuid(id)) throw notFound(entity, id);
  }

  #change<T>(name: string, context: ChangeContext, work: (tx: Queryable) => Promise<T>): Promise<T> {
    return runChange(this.#postgres, context, { name, timeoutMs: upsertTimeoutMs }, work);
  }

  async #authorId(tx: Queryable, workspaceId: string, author: Person | undefined): Promise<string | undefined> {
    return author && (await ensureAuthors(tx, workspaceId, [author]))[0];
  }

  async #lock(
    documents: KnowledgeRepository,
    workspaceId: string,
    id: string,
    expected: number | undefined,
  ): Promise<void> {
    const actual = isUuid(workspaceId) && isUuid(id) ? await documents.lock(workspaceId, id) : undefined;
    if (actual === undefined) throw notFound('knowledge', id);
    if (expected === undefined || expected === actual) return;
    throw new AppError(
      'DATA_CONSISTENCY_ERROR',
      `the document has version ${actual} by now, not ${expected}: read it again before changing it`,
      { entity: 'knowledge', entityId: id, expected, actual },
    );
  }

  async #written(documents: KnowledgeRepository, workspaceId: string, id: string): Promise<Knowledge> {
    const written = await documents.findById(workspaceId, id);
    if (!written) throw notFound('knowledge', id);
    return written;
  }
}
