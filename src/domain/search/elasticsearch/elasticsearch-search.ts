import type { estypes } from '@elastic/elasticsearch';
import { z } from 'zod';
import { AppError, validationError } from '../../../lib/errors/app-error.ts';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { cutPage, mostCandidates } from '../cut-page.ts';
import { fuseRanks } from '../fuse-ranks.ts';
import type { BackendAnswer, BackendQuery, RankedBy, SearchBackend, SearchPosition } from '../search-port.ts';
import type { SearchFacets, SearchHit, SearchSort, Suggestions } from '../types.ts';
import type { IndexDefinition } from '../indexes/index-definition.ts';
import type { IndexedModel } from './definition.ts';
import { facetAggregations, facetsShape, filterQueries } from './filters-and-facets.ts';
import {
  hitOf,
  hitsShape,
  pageShape,
  rankedShape,
  readResponses,
  shownSource,
  type RankedHit,
} from './read-answers.ts';
import { suggestIn } from './suggest.ts';
import { readMisspelt, readWordQuery, type WordQuery } from './word-query.ts';

type Query = estypes.QueryDslQueryContainer;
type ByVector = Extract<RankedBy, { readonly vector: Float32Array }>;
type PageSort = Exclude<SearchSort, 'relevance'> | 'score';

/** How far Elasticsearch's own offsets reach. */
const window = 10_000;
/** How much of a content is looked through for words to mark. */
const contentShown = 100_000;

const orders: Readonly<Record<PageSort, estypes.SortCombinations[]>> = {
  score: ['_score', { id: 'desc' }],
  newest: [{ updated_at: 'desc' }, { id: 'desc' }],
  oldest: [{ updated_at: 'asc' }, { id: 'asc' }],
  title: [{ title_key: 'asc' }, { id: 'asc' }],
};
const rankOrder: estypes.SortCombinations[] = ['_score', { id: 'desc' }, { title_key: 'asc' }, { updated_at: 'desc' }];
const position = { number: z.tuple([z.number(), z.uuid()]), text: z.tuple([z.string(), z.uuid()]) };

const highlighting = (query: Query | undefined): { highlight?: estypes.SearchHighlight } =>
  query === undefined
    ? {}
    : {
        highlight: {
          type: 'unified',
          encoder: 'html',
          pre_tags: ['<mark>'],
          post_tags: ['</mark>'],
          fragment_size: 150,
          number_of_fragments: 3,
          max_analyzed_offset: contentShown,
          require_field_match: false,
          highlight_query: query,
          fields: { content: {}, excerpt: {}, title: {} },
        },
      };

/** Words weigh the same on every shard. (By vector they do anyway, and the type may not be given.) */
const byWords = { search_type: 'dfs_query_then_fetch' } as const;

interface Counts {
  readonly total: number;
  readonly facets: SearchFacets;
  readonly ranked: readonly RankedHit[];
}

export interface ElasticsearchSearchParts {
  readonly elasticsearch: Elasticsearch;
  readonly definition: IndexDefinition;
  readonly model: IndexedModel;
}

/**
 * Searches in Elasticsearch. Spelling mistakes are forgiven only where the words as typed are found nowhere, so that
 * totals and facets of words that are there are those of these words. Whatever its answers lack (a shard that is away,
 * another model's vectors) is an error, never a smaller answer.
 */
export class ElasticsearchSearch implements SearchBackend {
  readonly name = 'elasticsearch';
  readonly #elasticsearch: Elasticsearch;
  readonly #live: string;
  readonly #model: string;

  constructor({ elasticsearch, definition, model }: ElasticsearchSearchParts) {
    this.#elasticsearch = elasticsearch;
    this.#live = definition.names.live;
    this.#model = model.model;
  }

  async search(query: BackendQuery): Promise<BackendAnswer> {
    const { rankedBy } = query;
    if (rankedBy.kind === 'words') return this.#byWords(query, rankedBy.words);
    if (rankedBy.kind === 'vector') return this.#byVector(query, rankedBy);
    if (rankedBy.kind === 'both') return this.#byBoth(query, rankedBy);
    return this.#page(query, undefined);
  }

  suggest(workspaceId: string, typed: string): Promise<Suggestions> {
    return suggestIn(this.#elasticsearch, this.#live, workspaceId, typed);
  }

  async #byWords(query: BackendQuery, words: string): Promise<BackendAnswer> {
    const answer = await this.#page(query, readWordQuery(words));
    if (answer.total > 0) return answer;
    const misspelt = readMisspelt(words);
    return misspelt ? this.#page(query, misspelt) : answer;
  }

  /** The page is cut by Elasticsearch. */
  async #page(query: BackendQuery, words: WordQuery | undefined): Promise<BackendAnswer> {
    const { workspaceId, limit, offset, after } = query;
    const sort = query.sort === 'relevance' ? (words ? 'score' : 'newest') : query.sort;
    if (after) checkPosition(sort, after);
    // One more than asked for tells whether anything follows, where the window has room for it.
    const size = Math.min(limit + 1, window - offset);
    const answer = await this.#elasticsearch.call((client, options) =>
      client.search(
        {
          ...this.#where(workspaceId),
          ...byWords,
          ...this.#matching(query, words),
          ...highlighting(words?.highlight),
          size,
          sort: orders[sort],
          track_scores: true,
          _source: shownSource,
          aggs: facetAggregations,
          ...(after ? { search_after: [...after] } : { from: offset }),
        },
        options,
      ),
    );
    const { hits, aggregations } = pageShape.parse(answer);
    const page = hits.hits.slice(0, limit);
    const total = hits.total.value;
    const follows = hits.hits.length > limit || (size === limit && total > offset + limit);
    return {
      total,
      facets: facetsShape.parse(aggregations),
      hits: page.map((hit) => hitOf(hit)),
      next: follows ? (page.at(-1)?.sort ?? null) : null,
    };
  }

  async #byVector(query: BackendQuery, ranking: ByVector): Promise<BackendAnswer> {
    const { counts, near } = await this.#rank(query, undefined, ranking);
    return this.#answerFromCandidates(query, counts, near, { vector: ranking.vector });
  }

  async #byBoth(query: BackendQuery, ranking: RankedBy & { kind: 'both' }): Promise<BackendAnswer> {
    let words = readWordQuery(ranking.words);
    const first = await this.#rank(query, words, ranking);
    const { near } = first;
    let { counts } = first;
    const misspelt = counts.total === 0 ? readMisspelt(ranking.words) : undefined;
    if (misspelt) {
      words = misspelt;
      ({ counts } = await this.#rank(query, words));
    }
    const candidates = new Map([...counts.ranked, ...near].map((candidate) => [candidate.id, candidate]));
    const scores = fuseRanks([counts.ranked.map(({ id }) => id), near.map(({ id }) => id)]);
    const fused = [...candidates.values()].map((candidate) => ({ ...candidate, score: scores.get(candidate.id) ?? 0 }));
    return this.#answerFromCandidates(query, counts, fused, { vector: ranking.vector, highlight: words.highlight });
  }

  /** One request of two searches: what filters and words match, by rank where there are words, and what is near. */
  async #rank(
    query: BackendQuery,
    words: WordQuery | undefined,
    by?: ByVector,
  ): Promise<{ counts: Counts; near: readonly RankedHit[] }> {
    if (by && by.model !== this.#model) throw otherModel();
    const { workspaceId, filters } = query;
    const where = this.#where(workspaceId);
    const ranking = { sort: rankOrder, track_scores: true, _source: false };
    const size = words ? mostCandidates : 0;
    const counting = { ...this.#matching(query, words), ...ranking, size, aggs: facetAggregations };
    const nearest = by &&
      hasDirection(by.vector) && {
        ...ranking,
        size: mostCandidates,
        track_total_hits: false,
        knn: nearestTo(by.vector, filterQueries(workspaceId, filters)),
      };
    const answer = await this.#elasticsearch.call((client, options) =>
      client.msearch({ searches: [{ ...where, ...byWords }, counting, ...(nearest ? [where, nearest] : [])] }, options),
    );
    const [counted, near] = readResponses(answer);
    const { hits, aggregations } = rankedShape.parse(counted);
    const counts = { total: hits.total?.value ?? 0, facets: facetsShape.parse(aggregations), ranked: hits.hits };
    const nearHits = near === undefined ? [] : rankedShape.parse(near).hits.hits;
    return { counts, near: nearHits.map(withCosine).filter(({ score }) => score > 0) };
  }

  async #answerFromCandidates(
    { workspaceId, sort, limit, offset, after }: BackendQuery,
    { total, facets }: Counts,
    candidates: readonly RankedHit[],
    shown: { readonly vector: Float32Array; readonly highlight?: Query | undefined },
  ): Promise<BackendAnswer> {
    if (after) checkPosition(sort === 'relevance' ? 'score' : sort, after);
    const { page, next } = cutPage(candidates, { sort, limit, offset, after });
    return { total, facets, next, hits: page.length === 0 ? [] : await this.#describe(workspaceId, page, shown) };
  }

  /** The documents of the page with what is shown of them. Those that were deleted since are left out. */
  async #describe(
    workspaceId: string,
    page: readonly RankedHit[],
    { vector, highlight }: { readonly vector: Float32Array; readonly highlight?: Query | undefined },
  ): Promise<readonly SearchHit[]> {
    const these: Query[] = [{ term: { workspace_id: workspaceId } }, { terms: { id: page.map(({ id }) => id) } }];
    const knn = {
      ...nearestTo(vector, these),
      k: page.length,
      inner_hits: { size: 1, _source: ['chunks.opening'] },
    };
    const answer = await this.#elasticsearch.call((client, options) =>
      client.search(
        {
          ...this.#where(workspaceId),
          query: { bool: { filter: these } },
          ...(hasDirection(vector) ? { knn } : {}),
          ...highlighting(highlight),
          size: page.length,
          _source: shownSource,
        },
        options,
      ),
    );
    const described = new Map(hitsShape.parse(answer).hits.hits.map((hit) => [hit.document.id, hit]));
    return page.flatMap(({ id, score }) => {
      const found = described.get(id);
      return found ? [hitOf(found, score)] : [];
    });
  }

  /** Searches of one workspace go to the same copies of the shards, whose scores are the same from page to page. */
  #where(workspaceId: string) {
    return {
      index: this.#live,
      preference: workspaceId,
      allow_partial_search_results: false,
    } as const;
  }

  #matching({ workspaceId, filters }: BackendQuery, words: WordQuery | undefined) {
    const filter = filterQueries(workspaceId, filters);
    return {
      query: { bool: { filter, ...(words ? { must: [words.query] } : {}) } },
      track_total_hits: true,
    };
  }
}

const hasDirection = (vector: Float32Array): boolean => vector.some((value) => value !== 0);

/** A document is as near as its nearest chunk. */
const nearestTo = (vector: Float32Array, filter: Query[]) => ({
  field: 'chunks.vector',
  query_vector: [...vector],
  k: mostCandidates,
  num_candidates: mostCandidates,
  filter,
});

/** Elasticsearch scores from 0 to 1. */
const withCosine = (hit: RankedHit): RankedHit => ({ ...hit, score: 2 * hit.score - 1 });

const checkPosition = (sort: PageSort, after: SearchPosition): void => {
  const shape = sort === 'title' ? position.text : position.number;
  if (!shape.safeParse(after).success) {
    throw validationError('the search', [{ path: 'cursor', message: 'is not a cursor of this search' }]);
  }
};

const otherModel = (): AppError =>
  new AppError('SERVICE_UNAVAILABLE', "Elasticsearch has another model's vectors", { service: 'elasticsearch' });
