import { afterEach, describe } from 'vitest';
import type { AnalyticsStore } from '../../../src/domain/analytics/analytics-store.ts';
import { ElasticsearchAnalytics } from '../../../src/domain/analytics/elasticsearch/elasticsearch-analytics.ts';
import { PostgresAnalytics } from '../../../src/domain/analytics/postgres/postgres-analytics.ts';
import { SearchAnalyticsService } from '../../../src/domain/analytics/search-analytics-service.ts';
import type { SearchRecord, TrackedSearch } from '../../../src/domain/analytics/types.ts';
import { normalizeQuery } from '../../../src/domain/analytics/normalize-query.ts';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import type { Workspace } from '../../../src/domain/workspaces/types.ts';
import { uuidV7 } from '../../../src/lib/ids/uuid-v7.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { Meter } from '../../../src/lib/telemetry/meter.ts';
import type { TestDatabase } from '../../services/database.ts';
import { connectTo, elasticsearchUrl, useElasticsearch, type TestElasticsearch } from '../../services/elasticsearch.ts';
import { TcpProxy } from '../../services/tcp-proxy.ts';

const log = createLog({ level: 'silent' });
const dayMs = 86_400_000;
/** In milliseconds. */
export const retentionMs = 90 * dayMs;

/** A search as its store has it. */
export interface StoredSearch extends Omit<SearchRecord, 'searchId' | 'workspaceId' | 'filters'> {
  readonly filters: unknown;
  readonly clicks: readonly { readonly documentId: string; readonly position: number }[];
}

interface StoredRow {
  readonly query: string;
  readonly normalized_query: string;
  readonly mode: TrackedSearch['mode'];
  readonly filters: unknown;
  readonly user_id: string;
  readonly result_count: number;
  readonly response_time: number;
  readonly backend: string;
  readonly degraded: boolean;
  readonly timestamp: string | Date;
}

const storedOf = (row: StoredRow, clicks: StoredSearch['clicks']): StoredSearch => ({
  query: row.query,
  normalizedQuery: row.normalized_query,
  mode: row.mode,
  filters: row.filters,
  userId: row.user_id,
  resultCount: row.result_count,
  responseTimeMs: row.response_time,
  backend: row.backend,
  degraded: row.degraded,
  timestamp: new Date(row.timestamp),
  clicks,
});

/** What tests ask of where searches are kept. */
export interface StoreUnderTest {
  /** What a process of its own has. */
  readonly make: () => AnalyticsStore;
  /** One whose server can be taken away. */
  readonly behindProxy: () => Promise<{
    readonly store: AnalyticsStore;
    readonly proxy: TcpProxy;
    readonly close: () => Promise<void>;
  }>;
  readonly find: (searchId: string) => Promise<StoredSearch | undefined>;
  readonly kept: (workspace: Workspace) => Promise<number>;
}

export const postgresStore = (database: TestDatabase): StoreUnderTest => ({
  make: () => new PostgresAnalytics(database.postgres),
  behindProxy: async () => {
    const proxy = new TcpProxy(database.url);
    await proxy.open();
    const { url } = proxy;
    const postgres = new Postgres(
      { url, directUrl: url, poolSize: 2, statementTimeoutMs: 5_000, applicationName: 'away' },
      log,
    );
    return { store: new PostgresAnalytics(postgres), proxy, close: () => postgres.close() };
  },
  find: async (searchId) => {
    const [row] = await database.query<StoredRow & { clicks: StoredSearch['clicks'] }>(
      `SELECT query, normalized_query, mode, filters, user_id, result_count, response_time_ms AS response_time, backend,
         degraded, searched_at AS timestamp, clicked_results AS clicks FROM treadle.searches WHERE search_id = $1`,
      [searchId],
    );
    return row && storedOf(row, row.clicks);
  },
  kept: async ({ id }) => (await database.query('SELECT FROM treadle.searches WHERE workspace_id = $1', [id])).length,
});

interface ClickSource {
  readonly document_id: string;
  readonly position: number;
}

export const elasticsearchStore = (
  database: TestDatabase,
  { elasticsearch, prefix }: TestElasticsearch,
): StoreUnderTest => {
  const index = `${prefix}searches`;
  const open = (way = elasticsearch) =>
    new ElasticsearchAnalytics({ elasticsearch: way, postgres: database.postgres, prefix, retentionMs });
  const search = async (query: object) => {
    await elasticsearch.call((client, options) => client.indices.refresh({ index, ignore_unavailable: true }, options));
    const { hits } = await elasticsearch.call((client, options) =>
      client.search<StoredRow & { clicked_results: ClickSource[] }>(
        { index, query, ignore_unavailable: true, size: 10_000 },
        options,
      ),
    );
    return hits.hits.flatMap(({ _source: row }) => row ?? []);
  };
  return {
    make: () => open(),
    behindProxy: async () => {
      const proxy = new TcpProxy(elasticsearchUrl);
      await proxy.open();
      const way = connectTo({ url: proxy.url });
      return { store: open(way), proxy, close: () => way.close() };
    },
    find: async (searchId) => {
      const [row] = await search({ ids: { values: [searchId] } });
      const clicks = row?.clicked_results.map(({ document_id: documentId, ...rest }) => ({ documentId, ...rest }));
      return row && storedOf(row, clicks ?? []);
    },
    kept: async ({ id }) => (await search({ term: { workspace_id: id } })).length,
  };
};

/** Workspaces, and the services of processes over a store. */
export class AnalyticsWorld {
  readonly store: StoreUnderTest;
  readonly #database: TestDatabase;
  readonly #open: SearchAnalyticsService[] = [];

  constructor(database: TestDatabase, store: StoreUnderTest) {
    this.#database = database;
    this.store = store;
    afterEach(async () => {
      for (const service of this.#open.splice(0)) await service.close();
    });
  }

  workspace(timeZone = 'UTC'): Promise<Workspace> {
    const name = `w-${uuidV7().slice(-12)}`;
    return new WorkspaceService({ postgres: this.#database.postgres, log }).create({ name, timeZone });
  }

  async deleteWorkspace({ id }: Workspace): Promise<void> {
    await this.#database.query('DELETE FROM treadle.workspaces WHERE id = $1', [id]);
  }

  /** What one process has. */
  start({ store = this.store.make(), maxPending = 10_000, flushMs = 10 } = {}) {
    const meter = new Meter(log);
    const service = new SearchAnalyticsService({ store, meter, log, maxPending, flushMs });
    this.#open.push(service);
    const counted = async (what: string, outcome: string): Promise<number> => {
      const line = `treadle_search_records_total{what="${what}",outcome="${outcome}"} `;
      const found = (await meter.expose()).split('\n').find((text) => text.startsWith(line));
      return Number(found?.slice(line.length) ?? 0);
    };
    return { service, store, counted };
  }
}

export const searchOf = ({ id }: Workspace, more: Partial<TrackedSearch> = {}): TrackedSearch => ({
  searchId: uuidV7(),
  workspaceId: id,
  userId: 'local',
  query: 'looms',
  mode: 'hybrid',
  filters: {},
  resultCount: 3,
  responseTimeMs: 12,
  backend: 'postgres',
  degraded: false,
  ...more,
});

/** As the service gives it to the store. */
export const recordOf = (workspace: Workspace, more: Partial<SearchRecord> = {}): SearchRecord => {
  const search = searchOf(workspace, more);
  return { normalizedQuery: normalizeQuery(search.query), timestamp: new Date(), ...search, ...more };
};

/** A click as an app tells it. */
export const clickOn = (
  { id: workspaceId }: Workspace,
  { searchId }: Pick<TrackedSearch, 'searchId'>,
  { documentId = uuidV7(), position = 1 } = {},
) => ({ workspaceId, searchId, documentId, position });

/** Runs the tests of what every store promises against each of them. */
export const onEachStore = (database: TestDatabase, tests: (world: AnalyticsWorld) => void): void => {
  describe('[postgres]', () => {
    tests(new AnalyticsWorld(database, postgresStore(database)));
  });
  describe.skipIf(elasticsearchUrl === '')('[elasticsearch]', () => {
    tests(new AnalyticsWorld(database, elasticsearchStore(database, useElasticsearch())));
  });
};
