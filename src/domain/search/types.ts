import type { KnowledgeStatus, NamedReference } from '../knowledge/types.ts';

export const searchModes = ['keyword', 'semantic', 'hybrid'] as const;
export type SearchMode = (typeof searchModes)[number];

export const searchSorts = ['relevance', 'newest', 'oldest', 'title'] as const;
export type SearchSort = (typeof searchSorts)[number];

/** All that are given must hold; of the values of one, any. */
export interface SearchFilters {
  readonly tags?: readonly string[] | undefined;
  /** Ids of users. */
  readonly authors?: readonly string[] | undefined;
  readonly status?: readonly KnowledgeStatus[] | undefined;
  readonly collections?: readonly string[] | undefined;
  /** Made in one of these months, in UTC: `2026-01`, as the timeline names them. */
  readonly months?: readonly string[] | undefined;
  /** Changed at this time or later. */
  readonly from?: Date | undefined;
  /** Changed at this time or before. */
  readonly to?: Date | undefined;
}

export interface SearchHit {
  readonly id: string;
  readonly title: string;
  /** Comparable within one answer only. */
  readonly score: number;
  /** Up to three pieces of HTML of about 150 characters: escaped, what matched in `<mark>`. */
  readonly highlights: readonly string[];
  readonly excerpt: string;
  readonly status: KnowledgeStatus;
  readonly tags: readonly string[];
  readonly author: NamedReference | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface FacetValue {
  readonly value: string;
  readonly count: number;
}
export interface AuthorFacet extends NamedReference {
  readonly count: number;
}
export interface SearchFacets {
  /** The 20 of most documents. */
  readonly tags: readonly FacetValue[];
  /** The 10 of most documents. */
  readonly authors: readonly AuthorFacet[];
  readonly status: readonly FacetValue[];
  /** Documents by the month they were made in (UTC, `2026-01`), in order. */
  readonly timeline: readonly FacetValue[];
}

export interface SearchResult {
  /** Names this search, for clicks and trends. */
  readonly searchId: string;
  /** Documents that filters and words match; a semantic search has no words to match. */
  readonly total: number;
  readonly hits: readonly SearchHit[];
  readonly facets: SearchFacets;
  /** For the following page; null on the last. */
  readonly nextCursor: string | null;
  readonly tookMs: number;
  readonly backend: 'postgres' | 'elasticsearch';
  /** The answer is less than was asked for: the embedder failed, and words alone were searched, or Elasticsearch did. */
  readonly degraded: boolean;
}

export interface TitleSuggestion {
  readonly id: string;
  readonly title: string;
}
export interface Suggestions {
  /** Up to 5. */
  readonly titles: readonly TitleSuggestion[];
  /** Up to 5. */
  readonly tags: readonly string[];
}
