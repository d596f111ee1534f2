import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, inject } from 'vitest';
import { KnowledgeIndex } from '../../src/domain/search/elasticsearch/knowledge-index.ts';
import type { IndexedModel } from '../../src/domain/search/elasticsearch/definition.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { RateLimits } from '../../src/lib/resilience/rate-limits.ts';
import { RemoteServices } from '../../src/lib/resilience/remote-services.ts';
import { Meter } from '../../src/lib/telemetry/meter.ts';
import {
  connectElasticsearch,
  type Elasticsearch,
  type ElasticsearchAddress,
} from '../../src/lib/elasticsearch/connect-elasticsearch.ts';
import type { Queryable } from '../../src/lib/postgres/queryable.ts';
import type { TestDatabase } from './database.ts';

/** Of the run; empty where there is none, and its tests are skipped. */
export const elasticsearchUrl = inject('elasticsearch') ?? '';

/** A connection as a process has one, to the server of the run or to another. */
export const connectTo = (address: ElasticsearchAddress = { url: elasticsearchUrl }): Elasticsearch => {
  const log = createLog({ level: 'silent' });
  const noLimits = (): Promise<never> => Promise.reject(new Error('no limit is counted'));
  const postgres = { query: noLimits, queryPrepared: noLimits };
  const limits = new RateLimits({ redis: undefined, postgres, log });
  return connectElasticsearch(address, new RemoteServices({ meter: new Meter(log), log, limits }));
};

export interface TestElasticsearch {
  readonly elasticsearch: Elasticsearch;
  readonly prefix: string;
}

/** A connection, and a prefix of its own, whose indices are deleted after the describe block or file. */
export const useElasticsearch = (): TestElasticsearch => {
  const elasticsearch = connectTo();
  const prefix = `test-${randomBytes(6).toString('hex')}-`;
  afterAll(async () => {
    // Servers delete nothing by pattern.
    const made = await elasticsearch.call((client, options) => client.indices.get({ index: `${prefix}*` }, options));
    const names = Object.keys(made);
    if (names.length > 0) {
      await elasticsearch.call((client, options) => client.indices.delete({ index: names }, options));
    }
    await elasticsearch.close();
  });
  return { elasticsearch, prefix };
};

export interface TestIndex extends TestElasticsearch {
  readonly index: KnowledgeIndex;
  readonly model: IndexedModel;
}

/** The knowledge index of a model, under a prefix of its own. */
export const useIndex = (database: TestDatabase, model: IndexedModel): TestIndex => {
  const { elasticsearch, prefix } = useElasticsearch();
  // The database of a file is there from its first hook on.
  const db: Queryable = { query: (text, values) => database.postgres.query(text, values) };
  const index = new KnowledgeIndex({ elasticsearch, db, model, prefix });
  beforeAll(async () => {
    await index.initializeIndices();
  });
  return { elasticsearch, index, prefix, model };
};
