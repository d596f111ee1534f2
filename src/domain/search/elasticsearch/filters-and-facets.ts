import type { estypes } from '@elastic/elasticsearch';
import { z } from 'zod';
import type { SearchFacets, SearchFilters } from '../types.ts';

type Query = estypes.QueryDslQueryContainer;

/** What every search is limited to: the workspace, and the filters that are given. */
export const filterQueries = (workspaceId: string, filters: SearchFilters): Query[] => {
  const { tags, authors, status, collections, months, from, to } = filters;
  const terms: Query[] = Object.entries({ tags, author: authors, status, collection_id: collections }).flatMap(
    ([field, values]) => (values?.length ? [{ terms: { [field]: [...values] } }] : []),
  );
  // From its first moment up to, but without, that of the next.
  const made = months?.map((month) => ({
    range: { created_at: { gte: month, lt: `${month}||+1M`, format: 'uuuu-MM' } },
  }));
  const range = { ...(from ? { gte: from.toISOString() } : {}), ...(to ? { lte: to.toISOString() } : {}) };
  return [
    { term: { workspace_id: workspaceId } },
    ...terms,
    ...(made?.length ? [{ bool: { should: made } }] : []),
    ...(from || to ? [{ range: { updated_at: range } }] : []),
  ];
};

/** So many values are counted on each shard that counts are exact for any workspace of fewer. */
const exactUpTo = 2_000;

export const facetAggregations: Record<string, estypes.AggregationsAggregationContainer> = {
  tags: { terms: { field: 'tags', size: 20, shard_size: exactUpTo } },
  authors: {
    terms: { field: 'author', size: 10, shard_size: exactUpTo },
    aggs: { names: { terms: { field: 'author_name', size: 1 } } },
  },
  status: { terms: { field: 'status' } },
  timeline: {
    date_histogram: { field: 'created_at', calendar_interval: 'month', format: 'uuuu-MM', min_doc_count: 1 },
  },
};

const bucket = z.object({ key: z.string(), doc_count: z.number() });
const buckets = <T extends z.ZodType>(shape: T) => z.object({ buckets: z.array(shape) });

/** Read from the answer to {@link facetAggregations}. */
export const facetsShape = z
  .object({
    tags: buckets(bucket),
    authors: buckets(bucket.extend({ names: buckets(bucket) })),
    status: buckets(bucket),
    timeline: buckets(z.object({ key_as_string: z.string(), doc_count: z.number() })),
  })
  .transform(({ tags, authors, status, timeline }): SearchFacets => ({
    tags: tags.buckets.map(({ key, doc_count: count }) => ({ value: key, count })),
    authors: authors.buckets.map(({ key, doc_count: count, names }) => ({
      id: key,
      name: names.buckets[0]?.key ?? '',
      count,
    })),
    status: status.buckets.map(({ key, doc_count: count }) => ({ value: key, count })),
    timeline: timeline.buckets.map(({ key_as_string: value, doc_count: count }) => ({ value, count })),
  }));
