import type { estypes } from '@elastic/elasticsearch';
import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { daysIn } from '../days.ts';
import { everyDay } from '../every-day.ts';
import { percentileOfCounts, responseTimeRanges } from '../response-times.ts';
import type { DayRange, SearchTrends } from '../types.ts';

const mostQueries = 10;
/**
 * So many queries of each month are added up. A query that is not among them in a month is counted without that month: one
 * of the ten is counted too low only where a workspace has more queries than this in a month.
 */
const comparedQueries = 10_000;

const withoutResult: estypes.QueryDslQueryContainer = { term: { result_count: 0 } };
const queries: estypes.AggregationsAggregationContainer = {
  terms: {
    field: 'normalized_query',
    size: mostQueries,
    shard_size: comparedQueries,
    order: [{ _count: 'desc' }, { _key: 'asc' }],
  },
};

const aggregationsOf = ({ firstDay, lastDay }: DayRange) =>
  ({
    days: {
      terms: { field: 'day', size: daysIn(firstDay, lastDay) },
      aggs: { withoutResult: { filter: withoutResult }, clicks: { sum: { field: 'click_count' } } },
    },
    degraded: { filter: { term: { degraded: true } } },
    clicked: { filter: { range: { click_count: { gte: 1 } } } },
    average: { avg: { field: 'response_time' } },
    times: { range: { field: 'response_time', ranges: responseTimeRanges } },
    popular: queries,
    fruitless: { filter: withoutResult, aggs: { queries } },
  }) satisfies Record<string, estypes.AggregationsAggregationContainer>;

const counted = z.object({ doc_count: z.number() });
const queryCounts = z
  .object({ buckets: z.array(counted.extend({ key: z.string() })) })
  .transform(({ buckets }) => buckets.map(({ key, doc_count: searches }) => ({ query: key, searches })));
const dayShape = counted
  .extend({ key: z.string(), withoutResult: counted, clicks: z.object({ value: z.number() }) })
  .transform(({ key: day, doc_count: searches, withoutResult: { doc_count: fruitless }, clicks }) => ({
    day,
    searches,
    withoutResult: fruitless,
    clicks: clicks.value,
  }));
const answerShape = z.object({
  aggregations: z.object({
    days: z.object({ buckets: z.array(dayShape) }),
    degraded: counted,
    clicked: counted,
    average: z.object({ value: z.number().nullable() }),
    times: z
      .object({ buckets: z.array(counted) })
      .transform(({ buckets }) => buckets.map((bucket) => bucket.doc_count)),
    popular: queryCounts,
    fruitless: z.object({ queries: queryCounts }),
  }),
});

/** Of a workspace without searches. */
export const noTrends = (range: DayRange): SearchTrends => ({
  searches: 0,
  withoutResult: 0,
  degraded: 0,
  clicks: 0,
  clickThroughRate: null,
  responseTime: null,
  popularQueries: [],
  zeroResultQueries: [],
  searchVolume: everyDay([], range),
});

/** See {@link AnalyticsStore.trends}; with everything that was written before. */
export const readTrends = async (
  elasticsearch: Elasticsearch,
  alias: string,
  { workspaceId, range }: { readonly workspaceId: string; readonly range: DayRange },
): Promise<SearchTrends> => {
  await elasticsearch.call((client, options) => client.indices.refresh({ index: alias }, options));
  const answer = await elasticsearch.call((client, options) =>
    client.search(
      {
        index: alias,
        size: 0,
        track_total_hits: false,
        allow_partial_search_results: false,
        query: {
          bool: {
            filter: [
              { term: { workspace_id: workspaceId.toLowerCase() } },
              { range: { day: { gte: range.firstDay, lte: range.lastDay } } },
            ],
          },
        },
        aggs: aggregationsOf(range),
      },
      options,
    ),
  );
  const { days, degraded, clicked, average, times, popular, fruitless } = answerShape.parse(answer).aggregations;
  const sum = (field: 'searches' | 'withoutResult' | 'clicks') =>
    days.buckets.reduce((total, day) => total + day[field], 0);
  const searches = sum('searches');
  return {
    searches,
    withoutResult: sum('withoutResult'),
    degraded: degraded.doc_count,
    clicks: sum('clicks'),
    clickThroughRate: searches === 0 ? null : clicked.doc_count / searches,
    responseTime:
      average.value === null
        ? null
        : { averageMs: Math.round(average.value), p95Ms: Math.round(percentileOfCounts(times, 0.95)) },
    popularQueries: popular,
    zeroResultQueries: fruitless.queries,
    searchVolume: everyDay(days.buckets, range),
  };
};
