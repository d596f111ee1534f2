import { rebuildIndexJob, verifyIndexJob } from '../jobs/maintenance/contract.ts';
import { embedRow } from '../jobs/embeddings/contract.ts';
import { TableSource } from '../domain/search/indexes/table-source.ts';
import type { Publication, PublishedTable } from '../lib/replication/requirements.ts';
import { withTenants } from '../queues/enqueue/with-tenants.ts';
import type { Platform } from '../platform.ts';
import type { Sink } from './change-batch.ts';
import { ShownSearches } from './shown-searches.ts';
import { CacheSink, cacheTables } from './sinks/cache-sink.ts';
import { EmbeddingSink } from './sinks/embedding-sink.ts';
import { EventSink } from './sinks/event-sink.ts';
import { SearchSink } from './sinks/search-sink.ts';

export interface Followed {
  /** Empty: nothing has to be followed. */
  readonly sinks: readonly Sink[];
  readonly publications: readonly Publication[];
}

const eventTable: PublishedTable = {
  schema: 'treadle',
  table: 'events',
  identity: ['id'],
  columns: ['id', 'workspace_id'],
  published: ['id', 'workspace_id'],
};

/** Of several wishes for one table the widest. */
const eachOnce = (tables: readonly PublishedTable[]): readonly PublishedTable[] => {
  const found = new Map<string, PublishedTable>();
  for (const table of tables) {
    const name = `${table.schema}.${table.table}`;
    const known = found.get(name);
    found.set(name, {
      ...table,
      identity: [...new Set([...(known?.identity ?? []), ...table.identity])],
      columns: [...new Set([...(known?.columns ?? []), ...table.columns])],
    });
  }
  return [...found.values()];
};

/** What follows the change stream of this installation, and the tables that have to be published for it. */
export const createSinks = (platform: Platform): Followed => {
  const { indexes, enqueuer, postgres, log, keepRefused, cache, cacheInvalidation } = platform;
  const all = indexes.all();
  if (all.length === 0) return { sinks: [], publications: [] };
  const shown = new ShownSearches({ cache, log });
  const searches = all.map(
    (index) =>
      new SearchSink({
        index,
        log,
        keepFailed: keepRefused,
        written: (workspaceIds) => shown.written(workspaceIds),
        requestRebuild: async (name, reason) => {
          await enqueuer.enqueue(rebuildIndexJob, { index: name, reason });
        },
        requestVerification: async (name) => {
          await enqueuer.enqueue(verifyIndexJob, { index: name });
        },
      }),
  );
  const embeddings = all
    .map(({ source }) => source)
    .filter((source) => source instanceof TableSource)
    .filter(({ index }) => index.embed.length > 0)
    .map(
      (source) =>
        new EmbeddingSink({
          source,
          db: postgres,
          enqueue: async (keys) => {
            const payloads = keys.map((key) => ({ index: source.name, ...key }));
            for (const [part, options] of withTenants(payloads)) await enqueuer.enqueueMany(embedRow, part, options);
          },
        }),
    );
  const tables = [...all.flatMap(({ source }) => source.tables), ...cacheTables];
  const ofTreadle = eachOnce(tables.filter(({ schema }) => schema === 'treadle'));
  const ofApp = eachOnce(tables.filter(({ schema }) => schema !== 'treadle'));
  return {
    sinks: [
      ...searches,
      ...embeddings,
      new EventSink(postgres),
      new CacheSink({ db: postgres, invalidation: cacheInvalidation }),
    ],
    publications: [
      { name: 'treadle', tables: ofTreadle },
      { name: 'treadle_events', tables: [eventTable], insertsOnly: true },
      ...(ofApp.length === 0 ? [] : [{ name: 'treadle_app', tables: ofApp }]),
    ],
  };
};
