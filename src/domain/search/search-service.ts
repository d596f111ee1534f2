import { uuidV7 } from '../../lib/ids/uuid-v7.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';

import { cursorKeyOf } from '../../lib/postgres/cursor-key.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { WorkspaceCache } from '../caching/workspace-cache.ts';
import { readCursor, writeCursor, type CursorRanking } from './search-cursor.ts';
import type { BackendQuery, RankedBy, SearchBackend } from './search-port.ts';
import { searchRequestSchema, suggestRequestSchema, type SearchInput, type SearchRequest } from './search-request.ts';
import type { SearchResult, Suggestions } from './types.ts';

/** Makes the vectors of queries; the embedding service does. */
export interface QueryEmbedder {
  readonly model: string;
  embedQuery(text: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<Float32Array>;
}

export interface SearchServiceOptions {
  /** Its key signs the cursors, whichever backend answers. */
  readonly postgres: Queryable;
  readonly backend: SearchBackend;
  /** Answers while `backend` can't: Postgres, where that one is Elasticsearch. */
  readonly fallback?: SearchBackend | undefined;
  /** Whether `backend` shows the documents as they are; while it does not, the fallback answers. */
  readonly isCurrent?: (() => Promise<boolean>) | undefined;
  readonly embedder: QueryEmbedder;
  readonly log: Log;
  /** Undefined: every search is searched. */
  readonly cache?: WorkspaceCache | undefined;
  /** How long a search waits for its vector before it does without; 5 s by default. */
  readonly embedTimeoutMs?: number;
}

/** Who asks. */
export interface SearchedBy {
  /** What decides which documents they may see; those of equal permissions may be given the same answer. */
  readonly permissions?: readonly string[];
}

type Answer = Omit<SearchResult, 'searchId' | 'tookMs'>;

interface Ranking {
  readonly rankedBy: RankedBy;
  readonly degraded: boolean;
}

/** Searches the documents of one workspace at a time. */
export class SearchService {
  readonly #postgres: Queryable;
  readonly #backend: SearchBackend;
  readonly #fallback: SearchBackend | undefined;
  readonly #isCurrent: () => Promise<boolean>;
  readonly #embedder: QueryEmbedder;
  readonly #log: Log;
  readonly #embedTimeoutMs: number;
  readonly #cache: WorkspaceCache | undefined;

  constructor({
    postgres,
    backend,
    fallback,
    isCurrent,
    embedder,
    log,
    cache,
    embedTimeoutMs = 5_000,
  }: SearchServiceOptions) {
    this.#cache = cache;
    this.#postgres = postgres;
    this.#backend = backend;
    this.#fallback = fallback;
    this.#isCurrent = isCurrent ?? (() => Promise.resolve(true));
    this.#embedder = embedder;
    this.#log = log;
    this.#embedTimeoutMs = embedTimeoutMs;
  }

  /**
   * Searches by words, by meaning, or by both fused by rank; without a query it lists by recency. Facets and total count
   * what filters and words match. If the vector of a hybrid search can't be had, words alone are searched and the answer
   * says `degraded`; so does one of the fallback.
   * @throws AppError VALIDATION_ERROR naming every fault, SERVICE_UNAVAILABLE when a semantic search, or the next page of
   * a hybrid one, has no vector.
   */
  async search(input: SearchInput, { permissions = [] }: SearchedBy = {}): Promise<SearchResult> {
    const startedAt = performance.now();
    const request = parseOrThrow(searchRequestSchema, input, 'the search');
    const answer = await this.#remembered(request, permissions);
    return { searchId: uuidV7(), ...answer, tookMs: Math.round(performance.now() - startedAt) };
  }

  /** A poor answer is not kept: the next one may be better. */
  #remembered(request: SearchRequest, permissions: readonly string[]): Promise<Answer> {
    if (!this.#cache) return this.#ask(request);
    const { workspaceId, query, mode, filters, ...page } = request;
    const key = { workspaceId, query, mode, filters, page: { ...page, model: this.#embedder.model }, permissions };
    return this.#cache.searchResults(
      key,
      () => this.#ask(request),
      ({ degraded }) => !degraded,
    );
  }

  async #ask(request: SearchRequest): Promise<Answer> {
    const key = await cursorKeyOf(this.#postgres);
    const first = await this.#choose();
    const from = readCursor(key, request, first.name);
    const { rankedBy, degraded } = await this.#rank(request, from?.ranking);
    const { workspaceId, filters, sort, limit, offset } = request;
    const query: BackendQuery = { workspaceId, rankedBy, filters, sort, limit, offset, after: from?.position };
    const [{ total, hits, facets, next }, backend] = await this.#orFallback(first, async (asked) => {
      // A position is one of the backend that it was made by.
      readCursor(key, request, asked.name);
      return [await asked.search(query), asked] as const;
    });
    const cursor = { ranking: rankedBy.kind, position: next ?? [] };
    return {
      total,
      hits,
      facets,
      nextCursor: next === null ? null : writeCursor(key, request, backend.name, cursor),
      backend: backend.name,
      degraded: degraded || backend !== this.#backend,
    };
  }

  /**
   * Up to five titles and five tags of the workspace that begin with what was typed, contain a word that does, or are
   * spelt much like it.
   * @throws AppError VALIDATION_ERROR for more than 64 characters.
   */
  async suggest(workspaceId: string, q: string): Promise<Suggestions> {
    const request = parseOrThrow(suggestRequestSchema, { workspaceId, q }, 'the suggestion');
    const first = await this.#choose();
    return this.#orFallback(first, (backend) => backend.suggest(request.workspaceId, request.q));
  }

  async #choose(): Promise<SearchBackend> {
    return this.#fallback && !(await this.#isCurrent()) ? this.#fallback : this.#backend;
  }

  /** A fault of the request would be one for any backend. */
  async #orFallback<T>(first: SearchBackend, ask: (backend: SearchBackend) => Promise<T>): Promise<T> {
    try {
      return await ask(first);
    } catch (error) {
      if (!this.#fallback || first === this.#fallback || isOfTheRequest(error)) throw error;
      this.#log.warn({ event: 'search.backend-failed', backend: first.name, err: error });
      return ask(this.#fallback);
    }
  }

  /** What ranks this search; a following page is ranked as the one before. */
  async #rank({ query, mode }: SearchRequest, before: CursorRanking | undefined): Promise<Ranking> {
    if (query === '') return { rankedBy: { kind: 'listing' }, degraded: false };
    if (mode === 'keyword' || before === 'words') {
      return { rankedBy: { kind: 'words', words: query }, degraded: mode !== 'keyword' };
    }
    try {
      const vector = await this.#embedder.embedQuery(query, { signal: AbortSignal.timeout(this.#embedTimeoutMs) });
      const { model } = this.#embedder;
      if (mode === 'semantic') return { rankedBy: { kind: 'vector', model, vector }, degraded: false };
      return { rankedBy: { kind: 'both', words: query, model, vector }, degraded: false };
    } catch (error) {
      this.#log.warn({ event: 'search.embedder-failed', mode, err: error });
      if (mode === 'semantic' || before === 'both') throw withoutVector(error);
      return { rankedBy: { kind: 'words', words: query }, degraded: true };
    }
  }
}

const isOfTheRequest = (error: unknown): boolean =>
  error instanceof AppError && (error.code === 'VALIDATION_ERROR' || error.code === 'INTERRUPTED');

const withoutVector = (cause: unknown): AppError =>
  new AppError(
    'SERVICE_UNAVAILABLE',
    'searching by meaning is not possible while the embedder fails',
    { service: 'embeddings' },
    { cause },
  );
