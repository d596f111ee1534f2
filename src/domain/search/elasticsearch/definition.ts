import { createHash } from 'node:crypto';
import type { estypes } from '@elastic/elasticsearch';
import { stopWords } from './stop-words.ts';

/** What the index is for: vectors of one model. */
export interface IndexedModel {
  readonly model: string;
  readonly dimensions: number;
}

export interface IndexNames {
  /** Where documents are written: the one live index. */
  readonly alias: string;
  /** Where they are searched: the same without tombstones. */
  readonly live: string;
  /** The index of this definition. */
  readonly index: string;
}

export interface IndexDefinition {
  readonly names: IndexNames;
  readonly settings: estypes.IndicesIndexSettings;
  readonly mappings: estypes.MappingTypeMapping;
}

const settings: estypes.IndicesIndexSettings = {
  number_of_shards: 3,
  // One replica, and none where there is no second node to hold it.
  auto_expand_replicas: '0-1',
  analysis: {
    filter: { english_stop: { type: 'stop', stopwords: [...stopWords] } },
    analyzer: {
      content_analyzer: { type: 'custom', tokenizer: 'standard', filter: ['lowercase', 'english_stop', 'stemmer'] },
      word_analyzer: { type: 'custom', tokenizer: 'standard', filter: ['lowercase'] },
    },
  },
};

const content: estypes.MappingProperty = { type: 'text', analyzer: 'content_analyzer' };
const keyword: estypes.MappingProperty = { type: 'keyword' };
const date: estypes.MappingProperty = { type: 'date' };
/** Words as they are written: a prefix of a stemmed word misses ("mapp" of "mapping"). */
const suggest: estypes.MappingProperty = {
  type: 'text',
  analyzer: 'word_analyzer',
  index_prefixes: { min_chars: 1, max_chars: 15 },
};

const mappingsFor = ({ model, dimensions }: IndexedModel): estypes.MappingTypeMapping => ({
  dynamic: 'strict',
  _meta: { model },
  // An index is always built from Postgres, which has these.
  _source: { excludes: ['chunks.vector', 'parts', 'title_signs'] },
  properties: {
    id: keyword,
    workspace_id: keyword,
    title: { ...content, fields: { keyword, suggest } },
    title_key: keyword,
    title_signs: keyword,
    excerpt: content,
    content,
    parts: content,
    tags: { type: 'keyword', fields: { suggest, words: content } },
    author: keyword,
    author_name: keyword,
    collection_id: keyword,
    status: keyword,
    created_at: date,
    updated_at: date,
    deleted_at: date,
    version: { type: 'long' },
    content_hash: keyword,
    chunks: {
      type: 'nested',
      properties: {
        opening: { type: 'keyword', index: false, doc_values: false },
        // Not the quantised default: scores stay those of the vectors, and it is indexed no slower.
        vector: {
          type: 'dense_vector',
          dims: dimensions,
          index: true,
          similarity: 'cosine',
          index_options: { type: 'hnsw' },
        },
      },
    },
  },
});

/**
 * The one definition of the knowledge index. Any change of it, the model's included, is another index: its name ends in a
 * hash of the definition. `prefix` tells installations apart that share an Elasticsearch.
 */
export const defineKnowledgeIndex = (model: IndexedModel, prefix = ''): IndexDefinition => {
  const mappings = mappingsFor(model);
  const hash = createHash('sha256')
    .update(JSON.stringify([settings, mappings]))
    .digest('hex')
    .slice(0, 12);
  const alias = `${prefix}knowledge`;
  return { names: { alias, live: `${alias}-live`, index: `${alias}-${hash}` }, settings, mappings };
};
