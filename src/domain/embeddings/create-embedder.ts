import type { Config } from '../../lib/config/load-config.ts';
import { EmbeddingEndpoint } from '../../lib/openai/embedding-endpoint.ts';
import { BatchingEmbedder } from './batching-embedder.ts';
import type { Embedder } from './embedder.ts';
import { LocalEmbedder } from './local-embedder.ts';

/**
 * The embedder the configuration asks for: an OpenAI-compatible endpoint with OPENAI_API_KEY (OPENAI_BASE_URL says which;
 * OpenAI's own without), the local one otherwise.
 */
export const createEmbedder = (config: Pick<Config, 'openai' | 'embedding'>): Embedder => {
  const { apiKey, baseUrl } = config.openai;
  if (apiKey === undefined) return new LocalEmbedder();
  return new BatchingEmbedder(new EmbeddingEndpoint({ apiKey, baseUrl, ...config.embedding }));
};
