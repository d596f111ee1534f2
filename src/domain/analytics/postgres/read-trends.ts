import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { everyDay } from '../every-day.ts';
import { addCounts, percentileOfCounts } from '../response-times.ts';
import type { DayRange, QueryCount, SearchTrends } from '../types.ts';

const mostQueries = 10;

interface DayRow {
  readonly day: string;
  readonly searches: number;
  readonly withoutResult: number;
  readonly degraded: number;
  readonly clicks: number;
  readonly clickedSearches: number;
  readonly responseTimeMs: number;
  readonly responseTimes: readonly number[];
}

const readDays = `SELECT day::text AS day, searches, without_results AS "withoutResult", degraded, clicks,
    clicked_searches AS "clickedSearches", response_time_ms AS "responseTimeMs", response_times AS "responseTimes"
  FROM treadle.search_days WHERE workspace_id = $1 AND day BETWEEN $2 AND $3`;

const readQueries = (counted: 'searches' | 'without_results'): string =>
  `SELECT query, sum(${counted}) AS searches FROM treadle.search_queries
   WHERE workspace_id = $1 AND day BETWEEN $2 AND $3 AND ${counted} > 0
   GROUP BY query ORDER BY 2 DESC, query LIMIT ${mostQueries}`;

/** See {@link AnalyticsStore.trends}. */
export const readTrends = async (db: Queryable, workspaceId: string, range: DayRange): Promise<SearchTrends> => {
  const values = [workspaceId, range.firstDay, range.lastDay];
  const [days, popular, fruitless] = await Promise.all([
    db.query<DayRow>(readDays, values),
    db.query<QueryCount>(readQueries('searches'), values),
    db.query<QueryCount>(readQueries('without_results'), values),
  ]);
  const sum = (field: 'searches' | 'withoutResult' | 'degraded' | 'clicks' | 'clickedSearches' | 'responseTimeMs') =>
    days.rows.reduce((total, row) => total + row[field], 0);
  const searches = sum('searches');
  const times = addCounts(days.rows.map(({ responseTimes }) => responseTimes));
  return {
    searches,
    withoutResult: sum('withoutResult'),
    degraded: sum('degraded'),
    clicks: sum('clicks'),
    clickThroughRate: searches === 0 ? null : sum('clickedSearches') / searches,
    responseTime:
      searches === 0
        ? null
        : {
            averageMs: Math.round(sum('responseTimeMs') / searches),
            p95Ms: Math.round(percentileOfCounts(times, 0.95)),
          },
    popularQueries: popular.rows,
    zeroResultQueries: fruitless.rows,
    searchVolume: everyDay(days.rows, range),
  };
};
