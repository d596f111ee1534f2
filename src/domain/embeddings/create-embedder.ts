import type { Config } from '../../lib/config/load-config.ts';
import type { RemoteServices } from '../../lib/resilience/remote-services.ts';
import { EmbeddingEndpoint } from '../../lib/openai/embedding-endpoint.ts';
import { BatchingEmbedder } from './batching-embedder.ts';
import type { Embedder } from './embedder.ts';
import { LocalEmbedder } from './local-embedder.ts';

/** Documents take one request at a time; the others are searches. */
const bulkhead = { max: 20, maxWaiting: 200 };

/**
 * The embedder the configuration asks for: an OpenAI-compatible endpoint with OPENAI_API_KEY (OPENAI_BASE_URL says which;
 * OpenAI's own without), the local one otherwise.
 */
export const createEmbedder = (config: Pick<Config, 'openai' | 'embedding'>, remote: RemoteServices): Embedder => {
  const { apiKey, baseUrl, requestsPerMinute } = config.openai;
  if (apiKey === undefined) return new LocalEmbedder();
  const service = remote.open({
    name: 'embeddings',
    bulkhead,
    rate: requestsPerMinute === undefined ? undefined : { max: requestsPerMinute, perSeconds: 60 },
  });
  return new BatchingEmbedder(new EmbeddingEndpoint({ apiKey, baseUrl, ...config.embedding, service }));
};
