import type { estypes } from '@elastic/elasticsearch';
import { completeDefinition, type IndexDefinition } from '../indexes/index-definition.ts';
import { stopWords } from './stop-words.ts';

/** What the index is for: vectors of one model. */
export interface IndexedModel {
  readonly model: string;
  readonly dimensions: number;
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

/** The pieces of a text with their vectors. */
export const chunksMapping = (dimensions: number): estypes.MappingProperty => ({
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
});

const mappingsFor = ({ model, dimensions }: IndexedModel): estypes.MappingTypeMapping => ({
  _meta: { model },
  // An index is always built from Postgres, which has these.
  _source: { excludes: ['chunks.vector', 'parts', 'title_signs'] },
  properties: {
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
    chunks: chunksMapping(dimensions),
  },
});

/** The name of the index of documents, and of their kind. */
export const knowledgeIndexName = 'knowledge';

/**
 * The one definition of the knowledge index, for the vectors of a model. `prefix` tells installations apart that share an
 * Elasticsearch.
 */
export const defineKnowledgeIndex = (model: IndexedModel, prefix = ''): IndexDefinition =>
  completeDefinition({ name: knowledgeIndexName, prefix, settings, mappings: mappingsFor(model) });
