import { CacheKeyBuilder, type SearchKeyParts } from '../../lib/cache/cache-key-builder.ts';
import type { CacheManager } from '../../lib/cache/cache-manager.ts';
import type { Knowledge } from '../knowledge/types.ts';
import type { CacheChange } from './cache-change.ts';
import { cacheTags } from './cache-change.ts';
import type { CacheInvalidation } from './cache-invalidation.ts';

const minuteMs = 60_000;
const documentMs = 60 * minuteMs;
const queryMs = 5 * minuteMs;
const latestMs = 30 * minuteMs;
const metadataMs = 60 * minuteMs;
const searchMs = 5 * minuteMs;
/** A source that is away is answered for so long with what was known. */
const graceMs = 5 * minuteMs;

/** What is kept of workspaces, under which keys and tags and for how long. What `read` reads comes from the primary. */
export class WorkspaceCache {
  readonly #cache: CacheManager;
  readonly #invalidation: CacheInvalidation;

  constructor({ cache, invalidation }: { readonly cache: CacheManager; readonly invalidation: CacheInvalidation }) {
    this.#cache = cache;
    this.#invalidation = invalidation;
  }

  /** An hour. */
  document(
    workspaceId: string,
    id: string,
    read: () => Promise<Knowledge | undefined>,
  ): Promise<Knowledge | undefined> {
    const tags = [cacheTags.documents(workspaceId)];
    return this.#cache.getOrCompute(CacheKeyBuilder.knowledge(workspaceId, id), read, {
      ttlMs: documentMs,
      tags,
      graceMs,
    });
  }

  /** Half an hour: the first page of a workspace, latest change first. */
  latest<T>(workspaceId: string, read: () => Promise<T>): Promise<T> {
    return this.#list(workspaceId, 'latest', latestMs, read);
  }

  /** Five minutes: what a filter finds, a further page, a count. */
  query<T>(workspaceId: string, parameters: object, read: () => Promise<T>): Promise<T> {
    return this.#list(workspaceId, parameters, queryMs, read);
  }

  /** An hour. */
  popularTags<T>(workspaceId: string, limit: number, read: () => Promise<T>): Promise<T> {
    const key = CacheKeyBuilder.tag(workspaceId, `popular-${limit}`);
    const tags = [cacheTags.lists(workspaceId), cacheTags.documents(workspaceId)];
    return this.#cache.getOrCompute(key, read, { ttlMs: metadataMs, tags, graceMs });
  }

  /** An hour. */
  metadata<T>(workspaceId: string, read: () => Promise<T>): Promise<T> {
    return this.#cache.getOrCompute(CacheKeyBuilder.workspace(workspaceId), read, { ttlMs: metadataMs, graceMs });
  }

  /** Five minutes, unless `keepIf` says that the answer is none to keep. */
  searchResults<T extends object>(
    parts: SearchKeyParts,
    read: () => Promise<T>,
    keepIf: (answer: T) => boolean,
  ): Promise<T> {
    const tags = [cacheTags.searches(parts.workspaceId)];
    return this.#cache.getOrCompute(CacheKeyBuilder.search(parts), read, { ttlMs: searchMs, tags, keepIf });
  }

  /** Keeps a document that the caller has just read from the primary. */
  cacheKnowledge(document: Knowledge): Promise<void> {
    const key = CacheKeyBuilder.knowledge(document.workspaceId, document.id);
    return this.#cache.set(key, document, { ttlMs: documentMs, tags: [cacheTags.documents(document.workspaceId)] });
  }

  /** To be called after the commit. */
  async invalidateKnowledge(workspaceId: string, id: string): Promise<void> {
    await this.changed({ kind: 'knowledge', workspaceId, ids: [id] });
  }

  cacheSearchResults(parts: SearchKeyParts, results: unknown, ttlMs = searchMs): Promise<void> {
    const tags = [cacheTags.searches(parts.workspaceId)];
    return this.#cache.set(CacheKeyBuilder.search(parts), results, { ttlMs, tags });
  }

  getCachedSearchResults<T>(parts: SearchKeyParts): Promise<T | null | undefined> {
    return this.#cache.get<T>(CacheKeyBuilder.search(parts));
  }

  /** Of these documents, those that would have to be read. */
  missingDocuments(workspaceId: string, ids: readonly string[]): Promise<readonly string[]> {
    const byKey = new Map(ids.map((id) => [CacheKeyBuilder.knowledge(workspaceId, id), id]));
    return this.#cache
      .missing([...byKey.keys()])
      .then((keys) => keys.map((key) => byKey.get(key)).filter((id) => id !== undefined));
  }

  /** To be called after the commit; whoever calls reads what it wrote from then on. */
  async changed(change: CacheChange): Promise<void> {
    await this.#invalidation.handleChange(change);
  }

  #list<T>(workspaceId: string, parameters: object | string, ttlMs: number, read: () => Promise<T>): Promise<T> {
    const key = CacheKeyBuilder.knowledgeList(workspaceId, parameters);
    const tags = [cacheTags.lists(workspaceId), cacheTags.documents(workspaceId)];
    return this.#cache.getOrCompute(key, read, { ttlMs, tags, graceMs });
  }
}
