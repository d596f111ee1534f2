import type { estypes } from '@elastic/elasticsearch';
import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { editDistance, mistakesAllowed } from '../../../lib/text/edit-distance.ts';
import type { Suggestions } from '../types.ts';
import { readResponses } from './read-answers.ts';
import { prefixOfKey, textKey } from './text-keys.ts';

type Query = estypes.QueryDslQueryContainer;

const suggestionsEach = 5;
/** Documents of a tag that is typed have others, too: so many are looked through. */
const tagsCompared = 1_000;

const titlesShape = z.object({
  hits: z.object({ hits: z.array(z.object({ _source: z.object({ id: z.string(), title: z.string() }) })) }),
});
const tagsShape = z.object({
  aggregations: z.object({ tags: z.object({ buckets: z.array(z.object({ key: z.string() })) }) }),
});

const worth = (query: Query, boost: number): Query => ({ constant_score: { filter: query, boost } });

/** The words in their order, the last one as far as it is typed; then spelt nearly so. */
const inField = (field: string, typed: string): Query[] => [
  worth({ match_phrase_prefix: { [field]: { query: typed, max_expansions: 1_000 } } }, 4),
  worth({ match: { [field]: { query: typed, operator: 'and', fuzziness: 'AUTO', prefix_length: 1 } } }, 1),
];

/** How well a tag fits: 0 begins with it, 1 has a word that does, 2 is spelt like it; undefined not at all. */
const fitOf = (tag: string, typed: string): number | undefined => {
  const key = textKey(tag);
  if (key.startsWith(typed)) return 0;
  if (` ${key}`.includes(` ${typed}`)) return 1;
  const words = [key, ...key.split(' ')];
  const isAlike = words.some(
    (word) => word[0] === typed[0] && editDistance(word, typed) <= mistakesAllowed(Array.from(typed).length),
  );
  return isAlike ? 2 : undefined;
};

/**
 * Titles and tags of the documents of one workspace, which every query is limited to: no completion suggester, which has
 * the texts of all workspaces in one structure. The latest titles and the tags of most documents come first.
 */
export const suggestIn = async (
  elasticsearch: Elasticsearch,
  index: string,
  workspaceId: string,
  given: string,
): Promise<Suggestions> => {
  const typed = textKey(given);
  if (typed === '') return { titles: [], tags: [] };
  const filter: Query[] = [{ term: { workspace_id: workspaceId } }];
  const titles = [worth({ prefix: { title_key: prefixOfKey(typed) } }, 8), ...inField('title.suggest', typed)];
  const where = { index, preference: workspaceId, allow_partial_search_results: false };
  const answer = await elasticsearch.call((client, options) =>
    client.msearch(
      {
        searches: [
          where,
          {
            query: { bool: { filter, must: [{ dis_max: { queries: titles } }] } },
            size: suggestionsEach,
            sort: ['_score', { updated_at: 'desc' }, { id: 'asc' }],
            _source: ['id', 'title'],
          },
          where,
          {
            query: { bool: { filter, must: [{ dis_max: { queries: inField('tags.suggest', typed) } }] } },
            size: 0,
            aggs: { tags: { terms: { field: 'tags', size: tagsCompared } } },
          },
        ],
      },
      options,
    ),
  );
  const [foundTitles, foundTags] = readResponses(answer);
  const tags = tagsShape.parse(foundTags).aggregations.tags.buckets.flatMap(({ key }) => {
    const fit = fitOf(key, typed);
    return fit === undefined ? [] : [{ tag: key, fit }];
  });
  return {
    titles: titlesShape.parse(foundTitles).hits.hits.map(({ _source: { id, title } }) => ({ id, title })),
    tags: tags
      .toSorted((a, b) => a.fit - b.fit)
      .slice(0, suggestionsEach)
      .map(({ tag }) => tag),
  };
};
