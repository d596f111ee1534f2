import type { SearchFilters, SearchMode } from '../search/types.ts';

/** A search that was answered. */
export interface TrackedSearch {
  /** Of the answer. */
  readonly searchId: string;
  readonly workspaceId: string;
  /** The actor. */
  readonly userId: string;
  readonly query: string;
  readonly mode: SearchMode;
  readonly filters: SearchFilters;
  /** The answer's total: documents that words and filters match. */
  readonly resultCount: number;
  readonly responseTimeMs: number;
  readonly backend: string;
  readonly degraded: boolean;
}

/** A search as it is kept. */
export interface SearchRecord extends TrackedSearch {
  /** What it is counted by, see {@link normalizeQuery}. */
  readonly normalizedQuery: string;
  readonly timestamp: Date;
}

/** A search, and the day it belongs to in its workspace: `2026-11-01`. */
export interface DatedSearch extends SearchRecord {
  readonly day: string;
}

/** Somebody opened a document that a search had found. */
export interface SearchClick {
  readonly workspaceId: string;
  readonly searchId: string;
  readonly documentId: string;
  /** 1 is the first of all hits. */
  readonly position: number;
  readonly clickedAt: Date;
}

/** Days of a workspace, both included: `2026-11-01`. */
export interface DayRange {
  readonly firstDay: string;
  readonly lastDay: string;
}

export interface QueryCount {
  /** Normalized. */
  readonly query: string;
  readonly searches: number;
}

export interface SearchDay {
  readonly day: string;
  readonly searches: number;
  /** Searches of which no document had the words. */
  readonly withoutResult: number;
  readonly clicks: number;
}

export interface SearchTrends {
  readonly searches: number;
  readonly withoutResult: number;
  /** Searches that were answered with less than was asked for. */
  readonly degraded: number;
  readonly clicks: number;
  /** The share of searches with a click; null without searches. */
  readonly clickThroughRate: number | null;
  /** Null without searches; the 95th percentile is within a tenth of the true one. */
  readonly responseTime: { readonly averageMs: number; readonly p95Ms: number } | null;
  /** The ten most frequent. */
  readonly popularQueries: readonly QueryCount[];
  /** The ten that were without a result most frequently. */
  readonly zeroResultQueries: readonly QueryCount[];
  /** Every day of the range, in order. */
  readonly searchVolume: readonly SearchDay[];
}
