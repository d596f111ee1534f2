import { codeOf } from '../../../lib/errors/classify.ts';
import { loadSql } from '../../../lib/postgres/load-sql.ts';
import type { Postgres } from '../../../lib/postgres/postgres.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { AnalyticsStore } from '../analytics-store.ts';
import type { DatedSearch, DayRange, SearchClick, SearchRecord, SearchTrends } from '../types.ts';
import { countByDay, countByQuery } from './count-batch.ts';
import { noteClicks } from './note-clicks.ts';
import { readTrends } from './read-trends.ts';

const sql = (name: string): string => loadSql(new URL(name, import.meta.url));

/** No more than so many queries of a workspace's present day are kept, after a moment; then the rare ones go. */
const mostQueries = 2_000;
/** Of each kind: the most frequent, and the most frequent without a result. */
const keptQueries = 500;
const keptWhenClosed = 100;
const daysAtATime = 200;
const writeTimeoutMs = 5_000;

/** What a row does not fit for; the others of its batch may. */
const isRefusal = (error: unknown): boolean => /^(22|23|54)/.test(codeOf(error) ?? '');

const rowOf = (search: SearchRecord) => ({
  search_id: search.searchId,
  workspace_id: search.workspaceId,
  user_id: search.userId,
  query: search.query,
  normalized_query: search.normalizedQuery,
  mode: search.mode,
  filters: search.filters,
  result_count: search.resultCount,
  response_time_ms: Math.round(search.responseTimeMs),
  backend: search.backend,
  degraded: search.degraded,
  searched_at: search.timestamp,
});

const trimQueries = async (
  db: Queryable,
  days: readonly { readonly workspace_id: string; readonly day: string }[],
  { most, kept }: { readonly most: number; readonly kept: number },
): Promise<number> => {
  const { rowCount } = await db.query(sql('./trim-queries.sql'), [
    days.map(({ workspace_id }) => workspace_id),
    days.map(({ day }) => day),
    most,
    kept,
  ]);
  return rowCount ?? 0;
};

/** Searches, and their counts by workspace and day, in Postgres. A search and what it adds to the counts are one transaction. */
export class PostgresAnalytics implements AnalyticsStore {
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  async record(batch: readonly SearchRecord[]): Promise<{ readonly refused: number }> {
    try {
      return { refused: batch.length - (await this.#insert(batch)) };
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (batch.length === 1) return { refused: 1 };
      let refused = 0;
      for (const search of batch) refused += (await this.record([search])).refused;
      return { refused };
    }
  }

  click(batch: readonly SearchClick[]): Promise<readonly SearchClick[]> {
    return this.#postgres.transaction((tx) => noteClicks(tx, batch), {
      name: 'analytics.click',
      timeoutMs: writeTimeoutMs,
    });
  }

  trends(workspaceId: string, range: DayRange): Promise<SearchTrends> {
    return readTrends(this.#postgres, workspaceId, range);
  }

  async searchedSince(time: Date): Promise<readonly string[]> {
    // Days are those of the workspaces, of which some have begun before.
    const { rows } = await this.#postgres.query<{ id: string }>(
      `SELECT DISTINCT workspace_id::text AS id FROM treadle.search_days
       WHERE day >= ($1::timestamptz AT TIME ZONE 'UTC')::date - 1`,
      [time],
    );
    return rows.map(({ id }) => id);
  }

  async closeDays(signal: AbortSignal): Promise<number> {
    for (let forgotten = 0; ;) {
      signal.throwIfAborted();
      const { days, dropped } = await this.#postgres.transaction(async (tx) => {
        const { rows } = await tx.query<{ workspace_id: string; day: string }>(
          `SELECT workspace_id, day::text FROM treadle.search_days
           WHERE NOT closed AND day < (now() AT TIME ZONE 'UTC')::date - 1
           ORDER BY day, workspace_id LIMIT ${daysAtATime} FOR UPDATE`,
        );
        const trimmed = await trimQueries(tx, rows, { most: 2 * keptWhenClosed, kept: keptWhenClosed });
        await tx.query(
          `UPDATE treadle.search_days AS d SET closed = true FROM unnest($1::uuid[], $2::date[]) AS done (workspace_id, day)
           WHERE d.workspace_id = done.workspace_id AND d.day = done.day`,
          [rows.map((row) => row.workspace_id), rows.map((row) => row.day)],
        );
        return { days: rows.length, dropped: trimmed };
      });
      forgotten += dropped;
      if (days < daysAtATime) return forgotten;
    }
  }

  /** Answers how many are of a workspace that there is; those that are kept already are not counted again. */
  #insert(batch: readonly SearchRecord[]): Promise<number> {
    return this.#postgres.transaction(
      async (tx) => {
        const { rows } = await tx.query<{ searchId: string; day: string }>(sql('./insert-searches.sql'), [
          JSON.stringify(batch.map(rowOf)),
        ]);
        const days = new Map(rows.map(({ searchId, day }) => [searchId, day]));
        const added = batch.flatMap((search): DatedSearch[] => {
          const day = days.get(search.searchId);
          // A batch may have a search twice.
          days.delete(search.searchId);
          return day === undefined ? [] : [{ ...search, day }];
        });
        if (added.length > 0) await this.#count(tx, added);
        if (added.length === batch.length) return batch.length;
        const { rows: known } = await tx.query<{ id: string }>(
          'SELECT search_id::text AS id FROM treadle.searches WHERE search_id = ANY ($1::uuid[])',
          [batch.map(({ searchId }) => searchId)],
        );
        const kept = new Set(known.map(({ id }) => id));
        return batch.filter(({ searchId }) => kept.has(searchId.toLowerCase())).length;
      },
      { name: 'analytics.record', timeoutMs: writeTimeoutMs },
    );
  }

  async #count(tx: Queryable, searches: readonly DatedSearch[]): Promise<void> {
    const byDay = countByDay(searches);
    await tx.query(sql('./count-searches.sql'), [JSON.stringify(byDay)]);
    await tx.query(sql('./count-queries.sql'), [JSON.stringify(countByQuery(searches))]);
    await trimQueries(tx, byDay, { most: mostQueries, kept: keptQueries });
  }
}
