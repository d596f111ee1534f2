import type { Config } from '../../lib/config/load-config.ts';
import type { Elasticsearch } from '../../lib/elasticsearch/connect-elasticsearch.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { AnalyticsStore } from './analytics-store.ts';
import { ElasticsearchAnalytics } from './elasticsearch/elasticsearch-analytics.ts';
import { PostgresAnalytics } from './postgres/postgres-analytics.ts';

/** Searches are kept where they are answered. */
export const createAnalyticsStore = (
  postgres: Postgres,
  elasticsearch: Elasticsearch | undefined,
  { retention, elasticsearch: settings }: Pick<Config, 'retention' | 'elasticsearch'>,
): AnalyticsStore =>
  elasticsearch
    ? new ElasticsearchAnalytics({
        elasticsearch,
        postgres,
        prefix: settings?.prefix ?? '',
        retentionMs: retention.searchesMs,
      })
    : new PostgresAnalytics(postgres);
