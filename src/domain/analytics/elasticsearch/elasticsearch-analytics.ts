import { AppError } from '../../../lib/errors/app-error.ts';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { AnalyticsStore } from '../analytics-store.ts';
import type { DayRange, SearchClick, SearchRecord, SearchTrends } from '../types.ts';
import { defineSearches, endOfIndex, monthOf, type SearchesDefinition } from './definition.ts';
import { deleteOrphans } from './delete-orphans.ts';
import { missingWorkspaces } from './missing-workspaces.ts';
import { MonthlyIndices } from './monthly-indices.ts';
import { searchedWorkspaces } from './searched-workspaces.ts';
import { noteClicks } from './note-clicks.ts';
import { noTrends, readTrends } from './read-trends.ts';
import { dateSearches, searchDocument } from './search-document.ts';
import { writeBulk } from './write-bulk.ts';

export interface ElasticsearchAnalyticsParts {
  readonly elasticsearch: Elasticsearch;
  /** Knows which workspaces there are, and their time zones. */
  readonly postgres: Queryable;
  /** Before the names of indices and aliases; empty by default. */
  readonly prefix?: string;
  /** A month of searches goes when all of them are older. */
  readonly retentionMs: number;
}

/**
 * Searches in Elasticsearch, each a document with its clicks, in an index a month; what trends show is counted from them.
 * Of a workspace that is not in Postgres nothing is kept, nor shown.
 */
export class ElasticsearchAnalytics implements AnalyticsStore {
  readonly #elasticsearch: Elasticsearch;
  readonly #postgres: Queryable;
  readonly #retentionMs: number;
  readonly #definition: SearchesDefinition;
  readonly #indices: MonthlyIndices;

  constructor({ elasticsearch, postgres, prefix, retentionMs }: ElasticsearchAnalyticsParts) {
    this.#elasticsearch = elasticsearch;
    this.#postgres = postgres;
    this.#retentionMs = retentionMs;
    this.#definition = defineSearches(prefix);
    this.#indices = new MonthlyIndices(elasticsearch, this.#definition);
  }

  /** Makes what is missing in Elasticsearch, as {@link MonthlyIndices.initialize} says; every method does so itself. */
  initialize(): Promise<void> {
    return this.#indices.initialize();
  }

  /** @throws AppError of {@link Elasticsearch.call}, and of Postgres. */
  record(batch: readonly SearchRecord[]): Promise<{ readonly refused: number }> {
    return this.#within(async () => {
      const searches = await dateSearches(this.#postgres, batch);
      await this.#indices.make([...new Set(searches.map(({ timestamp }) => monthOf(timestamp)))]);
      const outcomes = await writeBulk(
        this.#elasticsearch,
        searches.map((search) => ({
          action: 'create',
          index: this.#definition.indexOf(monthOf(search.timestamp)),
          id: search.searchId.toLowerCase(),
          document: searchDocument(search),
        })),
      );
      const kept = outcomes.filter((outcome) => outcome !== 'refused').length;
      return { refused: batch.length - kept };
    });
  }

  /** @throws AppError of {@link Elasticsearch.call}, DATA_CONSISTENCY_ERROR when too many write the same search at once. */
  click(batch: readonly SearchClick[]): Promise<readonly SearchClick[]> {
    return this.#within(() => noteClicks(this.#elasticsearch, this.#definition.alias, batch));
  }

  /** @throws AppError of {@link Elasticsearch.call}, and of Postgres. */
  trends(workspaceId: string, range: DayRange): Promise<SearchTrends> {
    return this.#within(async () => {
      const [gone] = await missingWorkspaces(this.#postgres, [workspaceId]);
      if (gone !== undefined) return noTrends(range);
      return readTrends(this.#elasticsearch, this.#definition.alias, { workspaceId, range });
    });
  }

  /** @throws AppError of {@link Elasticsearch.call}. */
  searchedSince(time: Date): Promise<readonly string[]> {
    return this.#within(() => searchedWorkspaces(this.#elasticsearch, this.#definition.alias, time));
  }

  /** Drops the months that are past their retention, and the searches of deleted workspaces; forgets no queries. */
  closeDays(signal: AbortSignal): Promise<number> {
    return this.#within(async () => {
      const oldest = Date.now() - this.#retentionMs;
      for (const index of await this.#indices.names(signal)) {
        if ((endOfIndex(index) ?? Infinity) <= oldest) await this.#indices.drop(index, signal);
      }
      const { alias } = this.#definition;
      await deleteOrphans({ elasticsearch: this.#elasticsearch, db: this.#postgres, alias }, signal);
      return 0;
    });
  }

  async #within<T>(fn: () => Promise<T>): Promise<T> {
    await this.#indices.initialize();
    try {
      return await fn();
    } catch (error) {
      // Perhaps an index was deleted: the next time it is made again.
      if (error instanceof AppError && error.code === 'SERVICE_UNAVAILABLE') this.#indices.forget();
      throw error;
    }
  }
}
