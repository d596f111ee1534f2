import { WriteBehind, type DropReason } from '../../lib/batching/write-behind.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Family, Meter } from '../../lib/telemetry/meter.ts';
import type { SearchFilters } from '../search/types.ts';
import type { Count } from '../../lib/telemetry/metric-values.ts';
import type { AnalyticsStore } from './analytics-store.ts';
import { parseRange, searchClickInput, type SearchClickInput, type TrendsRangeInput } from './input.ts';
import { normalizeQuery, storableQuery } from './normalize-query.ts';
import type { SearchClick, SearchRecord, SearchTrends, TrackedSearch } from './types.ts';

export interface SearchAnalyticsOptions {
  readonly store: AnalyticsStore;
  readonly meter: Meter;
  readonly log: Log;
  /** How many searches, and how many clicks, are kept in memory at most; 10,000 by default. */
  readonly maxPending?: number;
  /** How long they wait for others to be written with; 1 s by default. */
  readonly flushMs?: number;
}

const maxBatch = 1_000;
/** A click may come before its search is written, by another process perhaps. */
const clickWaitsMs = 10_000;
const closeMs = 5_000;
/** Of each filter, so that no search takes much room. */
const mostValues = 20;

type What = 'search' | 'click';

const keptFilters = ({ tags, authors, status, collections, months, ...times }: SearchFilters): SearchFilters => ({
  ...times,
  tags: tags?.slice(0, mostValues),
  authors: authors?.slice(0, mostValues),
  status: status?.slice(0, mostValues),
  collections: collections?.slice(0, mostValues),
  months: months?.slice(0, mostValues),
});

/**
 * What is searched for, what is found and what is opened. Searches and clicks are taken without waiting and written in
 * batches about a second later; none fails or slows anything. What can't be written in the end is counted as such.
 */
export class SearchAnalyticsService {
  readonly #store: AnalyticsStore;
  readonly #log: Log;
  readonly #maxPending: number;
  readonly #counts: Family<Count>;
  readonly #searches: WriteBehind<SearchRecord>;
  readonly #clicks: WriteBehind<SearchClick>;

  constructor({ store, meter, log, maxPending = 10_000, flushMs = 1_000 }: SearchAnalyticsOptions) {
    this.#store = store;
    this.#log = log;
    this.#maxPending = maxPending;
    this.#counts = meter.counter(
      'treadle_search_records_total',
      'Searches and clicks for analytics, by what became of them.',
    );
    const common = (what: What) => ({
      maxPending,
      maxBatch,
      intervalMs: flushMs,
      onDropped: (count: number, reason: DropReason) => this.#count(what, reason, count),
      onError: (error: unknown) => log.warn({ event: 'search-analytics.not-written', what, err: error }),
    });
    this.#searches = new WriteBehind({ ...common('search'), write: (batch) => this.#writeSearches(batch) });
    this.#clicks = new WriteBehind({ ...common('click'), write: (batch) => this.#writeClicks(batch) });
  }

  /** Takes a search that was answered. Without a query it was a listing, and is not kept. Never throws. */
  trackSearchQuery(search: TrackedSearch): void {
    const query = storableQuery(search.query);
    if (query === '') return;
    const filters = keptFilters(search.filters);
    this.#searches.add({ ...search, query, normalizedQuery: normalizeQuery(query), filters, timestamp: new Date() });
  }

  /**
   * Takes a click on a hit. One on a search that its workspace does not have goes nowhere, and nobody is told which
   * searches there are; of several on one document the first counts.
   * @throws AppError VALIDATION_ERROR naming every fault.
   */
  recordClick(input: SearchClickInput): void {
    const click = parseOrThrow(searchClickInput, input, 'the click');
    this.#clicks.add({ ...click, clickedAt: new Date() });
  }

  /**
   * Trends of a workspace, by its days; with what this process has taken so far.
   * @throws AppError VALIDATION_ERROR naming `from` or `to`.
   */
  async getSearchTrends(
    workspace: { readonly id: string; readonly timeZone: string },
    range: TrendsRangeInput = {},
  ): Promise<SearchTrends> {
    const days = parseRange(range, workspace.timeZone, new Date());
    await this.flush();
    return this.#store.trends(workspace.id, days);
  }

  /** Tries to write what was taken so far. */
  async flush(): Promise<void> {
    await this.#searches.flush();
    await this.#clicks.flush();
  }

  /** See {@link AnalyticsStore.closeDays}. */
  closeDays(signal: AbortSignal): Promise<number> {
    return this.#store.closeDays(signal);
  }

  /** See {@link AnalyticsStore.searchedSince}. */
  searchedSince(time: Date): Promise<readonly string[]> {
    return this.#store.searchedSince(time);
  }

  /** Writes what is left, for up to five seconds each. */
  async close(): Promise<void> {
    await this.#searches.close(closeMs);
    await this.#clicks.close(closeMs);
  }

  async #writeSearches(batch: readonly SearchRecord[]): Promise<void> {
    const { refused } = await this.#store.record(batch);
    this.#count('search', 'written', batch.length - refused);
    this.#count('search', 'refused', refused);
    if (refused > 0) this.#log.warn({ event: 'search-analytics.refused', searches: refused });
  }

  async #writeClicks(batch: readonly SearchClick[]): Promise<void> {
    const unknown = await this.#store.click(batch);
    this.#count('click', 'written', batch.length - unknown.length);
    const now = Date.now();
    for (const click of unknown) {
      // Made-up ones leave room for the others.
      const mayWait = now - click.clickedAt.getTime() < clickWaitsMs && this.#clicks.size < this.#maxPending / 2;
      if (mayWait) this.#clicks.add(click);
      else this.#count('click', 'unknown', 1);
    }
  }

  #count(what: What, outcome: DropReason | 'written' | 'refused' | 'unknown', count: number): void {
    this.#counts.with({ what, outcome }).add(count);
  }
}
