import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { answeredError } from '../../../lib/elasticsearch/elasticsearch-error.ts';
import { newResults, type ClickedResult } from '../clicked-results.ts';
import type { SearchClick } from '../types.ts';
import { writeBulk, type BulkOperation } from './write-bulk.ts';

/** Of one request. */
const mostSearches = 1_000;
/** Of writers of one search, one succeeds each time: so many may be at it. */
const mostTries = 30;

const resultShape = z
  .object({ document_id: z.string(), position: z.number(), clicked_at: z.string() })
  .transform((result) => ({
    documentId: result.document_id,
    position: result.position,
    clickedAt: result.clicked_at,
  }));
const hitShape = z
  .object({
    _index: z.string(),
    _id: z.string(),
    _seq_no: z.number(),
    _primary_term: z.number(),
    _source: z.looseObject({ workspace_id: z.string(), clicked_results: z.array(resultShape) }),
  })
  .transform(({ _index: index, _id: id, _seq_no: seqNo, _primary_term: primaryTerm, _source: source }) => ({
    index,
    id,
    revision: { seqNo, primaryTerm },
    source,
  }));
const answerShape = z.object({ hits: z.object({ hits: z.array(hitShape) }) });
type FoundSearch = z.output<typeof hitShape>;

const keyOf = (workspaceId: string, searchId: string): string => `${workspaceId} ${searchId}`.toLowerCase();

const groupsOf = (clicks: readonly SearchClick[]): ReadonlyMap<string, readonly [SearchClick, ...SearchClick[]]> => {
  const groups = new Map<string, [SearchClick, ...SearchClick[]]>();
  for (const click of clicks) {
    const key = keyOf(click.workspaceId, click.searchId);
    const group = groups.get(key);
    if (group) group.push(click);
    else groups.set(key, [click]);
  }
  return groups;
};

/** By their keys, as they are now: what was written a moment ago is seen. */
const findSearches = async (
  elasticsearch: Elasticsearch,
  alias: string,
  searchIds: readonly string[],
): Promise<ReadonlyMap<string, FoundSearch>> => {
  await elasticsearch.call((client, options) => client.indices.refresh({ index: alias }, options));
  const answer = await elasticsearch.call((client, options) =>
    client.search(
      {
        index: alias,
        query: { ids: { values: [...searchIds] } },
        size: searchIds.length,
        seq_no_primary_term: true,
        allow_partial_search_results: false,
      },
      options,
    ),
  );
  const { hits } = answerShape.parse(answer).hits;
  return new Map(hits.map((search) => [keyOf(search.source.workspace_id, search.id), search]));
};

const withResults = ({ index, id, revision, source }: FoundSearch, added: readonly ClickedResult[]): BulkOperation => {
  const results = [...source.clicked_results, ...added].map(({ documentId, position, clickedAt }) => ({
    document_id: documentId,
    position,
    clicked_at: clickedAt,
  }));
  const document = { ...source, clicked_results: results, click_count: results.length };
  return { action: 'replace', index, id, revision, document };
};

/** Of one request; see {@link noteClicks}. */
const noteGroups = async (
  elasticsearch: Elasticsearch,
  alias: string,
  groups: ReadonlyMap<string, readonly [SearchClick, ...SearchClick[]]>,
): Promise<readonly SearchClick[]> => {
  const unknown: SearchClick[] = [];
  let left = [...groups];
  for (let tries = 0; left.length > 0; tries += 1) {
    if (tries === mostTries) throw answeredError(409, 'version_conflict_engine_exception');
    const ids = new Set(left.map(([, [{ searchId }]]) => searchId.toLowerCase()));
    const found = await findSearches(elasticsearch, alias, [...ids]);
    const changes = left.flatMap(([key, clicks]) => {
      const search = found.get(key);
      if (!search) {
        unknown.push(...clicks);
        return [];
      }
      const added = newResults(search.source.clicked_results, clicks);
      return added.length === 0 ? [] : [{ key, clicks, operation: withResults(search, added) }];
    });
    const outcomes = await writeBulk(
      elasticsearch,
      changes.map(({ operation }) => operation),
    );
    // Another process noted clicks on the same search meanwhile: what it noted is looked at first.
    left = changes
      .filter((_, place) => outcomes[place] === 'conflict')
      .map(({ key, clicks }): (typeof left)[number] => [key, clicks]);
  }
  return unknown;
};

/**
 * See {@link AnalyticsStore.click}. A search is replaced only as it was when it was read, so that of any number of
 * processes none undoes what another noted.
 */
export const noteClicks = async (
  elasticsearch: Elasticsearch,
  alias: string,
  batch: readonly SearchClick[],
): Promise<readonly SearchClick[]> => {
  const groups = [...groupsOf(batch)];
  const unknown: SearchClick[] = [];
  for (let first = 0; first < groups.length; first += mostSearches) {
    const some = new Map(groups.slice(first, first + mostSearches));
    unknown.push(...(await noteGroups(elasticsearch, alias, some)));
  }
  return unknown;
};
