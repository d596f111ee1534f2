import type { SearchFacets, SearchFilters, SearchHit, SearchSort, Suggestions } from './types.ts';

/** Where a page ended, as the backend that answered it writes it down. */
export type SearchPosition = readonly (string | number)[];

/** What ranks documents: nothing (a listing by recency), their words, a vector, or both by rank fusion. */
export type RankedBy =
  | { readonly kind: 'listing' }
  | { readonly kind: 'words'; readonly words: string }
  | { readonly kind: 'vector'; readonly model: string; readonly vector: Float32Array }
  | { readonly kind: 'both'; readonly words: string; readonly model: string; readonly vector: Float32Array };

export interface BackendQuery {
  readonly workspaceId: string;
  readonly rankedBy: RankedBy;
  readonly filters: SearchFilters;
  readonly sort: SearchSort;
  readonly limit: number;
  readonly offset: number;
  /** Only what comes behind this. */
  readonly after?: SearchPosition | undefined;
}

export interface BackendAnswer {
  /** Exact: what filters and words match. */
  readonly total: number;
  readonly facets: SearchFacets;
  readonly hits: readonly SearchHit[];
  /** Null when nothing follows. */
  readonly next: SearchPosition | null;
}

/**
 * Something that can search documents: Postgres always can, Elasticsearch where it is configured. Whoever calls has
 * checked the request and made the vector; a backend never looks outside the workspace, and gives equal scores a fixed
 * order. Vector and fused rankings hold at most 1,000 candidates; a document scores as its best chunk.
 */
export interface SearchBackend {
  readonly name: 'postgres' | 'elasticsearch';
  /** @throws AppError VALIDATION_ERROR for an `after` that is not one of its positions. */
  search(query: BackendQuery): Promise<BackendAnswer>;
  suggest(workspaceId: string, typed: string): Promise<Suggestions>;
}
