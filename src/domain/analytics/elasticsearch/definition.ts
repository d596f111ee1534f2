import { createHash } from 'node:crypto';
import type { estypes } from '@elastic/elasticsearch';

/** A month in UTC: `2026.11`. */
export type Month = string;

export interface SearchesDefinition {
  /** All searches: what is read. */
  readonly alias: string;
  /** Of this definition, for the searches of a month. */
  readonly indexOf: (month: Month) => string;
  readonly settings: estypes.IndicesIndexSettings;
  readonly mappings: estypes.MappingTypeMapping;
}

const settings: estypes.IndicesIndexSettings = {
  // What is counted in one shard is counted exactly.
  number_of_shards: 1,
  // One replica, and none where there is no second node to hold it.
  auto_expand_replicas: '0-1',
};

const keyword: estypes.MappingProperty = { type: 'keyword' };
const date: estypes.MappingProperty = { type: 'date' };
const integer: estypes.MappingProperty = { type: 'integer' };

const mappings: estypes.MappingTypeMapping = {
  dynamic: 'strict',
  properties: {
    workspace_id: keyword,
    day: keyword,
    user_id: keyword,
    query: keyword,
    normalized_query: keyword,
    mode: keyword,
    filters: {
      properties: {
        tags: keyword,
        authors: keyword,
        status: keyword,
        collections: keyword,
        months: keyword,
        from: date,
        to: date,
      },
    },
    result_count: integer,
    response_time: integer,
    backend: keyword,
    degraded: { type: 'boolean' },
    clicked_results: { properties: { document_id: keyword, position: integer, clicked_at: date } },
    click_count: integer,
    timestamp: date,
  },
};

const hash = createHash('sha256')
  .update(JSON.stringify([settings, mappings]))
  .digest('hex')
  .slice(0, 12);

/**
 * The one definition of the indices of searches, one a month. Any change of it has other indices, which lie behind the same
 * alias: each process writes to those of its own. `prefix` tells installations apart that share an Elasticsearch.
 */
export const defineSearches = (prefix = ''): SearchesDefinition => {
  const alias = `${prefix}searches`;
  return { alias, indexOf: (month) => `${alias}-${month}-${hash}`, settings, mappings };
};

/** Where documents of an index are written: a write to an alias never makes an index. */
export const writeAliasOf = (index: string): string => `${index}-write`;

export const monthOf = (at: Date): Month => at.toISOString().slice(0, 7).replace('-', '.');

/** When the month of an index is over, in ms since 1970; undefined for a name that no definition gave. */
export const endOfIndex = (index: string): number | undefined => {
  const found = /-(\d{4})\.(\d{2})-[\da-f]{12}$/.exec(index);
  return found ? Date.UTC(Number(found[1]), Number(found[2])) : undefined;
};
