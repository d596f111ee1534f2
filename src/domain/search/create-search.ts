import type { Config } from '../../lib/config/load-config.ts';
import { connectElasticsearch, type Elasticsearch } from '../../lib/elasticsearch/connect-elasticsearch.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { RemoteServices } from '../../lib/resilience/remote-services.ts';
import type { EmbeddingService } from '../embeddings/embedding-service.ts';
import type { WorkspaceCache } from '../caching/workspace-cache.ts';
import { ElasticsearchSearch } from './elasticsearch/elasticsearch-search.ts';
import { KnowledgeIndex } from './elasticsearch/knowledge-index.ts';
import { IndexCurrency } from './index-currency.ts';
import { SearchIndex } from './indexes/search-index.ts';
import { TableSource } from './indexes/table-source.ts';
import { loadIndexes, type ImportModule } from './load-indexes.ts';
import { PostgresSearch } from './postgres/postgres-search.ts';
import { SearchIndexes } from './search-indexes.ts';
import { SearchService } from './search-service.ts';

export interface SearchParts {
  readonly config: Pick<Config, 'elasticsearch' | 'indexes'>;
  readonly postgres: Postgres;
  readonly remote: RemoteServices;
  readonly embeddings: EmbeddingService;
  readonly log: Log;
  readonly cache?: WorkspaceCache | undefined;
  readonly importModule: ImportModule;
}

/** Everything that searches, and what is searched. */
export interface Searching {
  readonly search: SearchService;
  readonly indexes: SearchIndexes;
  /** Undefined without Elasticsearch. */
  readonly knowledgeIndex: KnowledgeIndex | undefined;
  readonly elasticsearch: Elasticsearch | undefined;
}

/**
 * Searches go to Elasticsearch where there is one and its index is current, and to Postgres else.
 * @throws AppError CONFIGURATION_ERROR naming TREADLE_INDEXES, the module or index, and what is wrong with it.
 */
export const createSearch = async (parts: SearchParts): Promise<Searching> => {
  const { config, postgres, remote, embeddings, log, importModule, cache } = parts;
  const inPostgres = new PostgresSearch(postgres.reader);
  if (!config.elasticsearch) {
    const search = new SearchService({ postgres, backend: inPostgres, embedder: embeddings, log, cache });
    return { search, indexes: new SearchIndexes([]), knowledgeIndex: undefined, elasticsearch: undefined };
  }
  const { prefix } = config.elasticsearch;
  const elasticsearch = connectElasticsearch(config.elasticsearch, remote);
  const model = { model: embeddings.model, dimensions: embeddings.dimensions };
  const knowledgeIndex = new KnowledgeIndex({ elasticsearch, db: postgres, model, prefix });
  const own: SearchIndex[] = [];
  for (const index of await loadIndexes(config.indexes, importModule)) {
    const source = await TableSource.open(postgres, index, model, prefix);
    own.push(new SearchIndex({ source, elasticsearch, db: postgres }));
  }
  const currency = new IndexCurrency(knowledgeIndex.index, log);
  const search = new SearchService({
    postgres,
    backend: new ElasticsearchSearch({ elasticsearch, definition: knowledgeIndex.definition, model }),
    fallback: inPostgres,
    isCurrent: () => currency.isCurrent(),
    embedder: embeddings,
    log,
    cache,
  });
  return { search, indexes: new SearchIndexes([knowledgeIndex.index, ...own]), knowledgeIndex, elasticsearch };
};
