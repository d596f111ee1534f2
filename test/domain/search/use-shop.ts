import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';
import { z } from 'zod';
import { createSinks } from '../../../src/changes/create-sinks.ts';
import { Replicator } from '../../../src/changes/replicator.ts';
import type { DocumentKey } from '../../../src/domain/search/indexes/index-source.ts';
import { whyNotCurrent } from '../../../src/domain/search/index-currency.ts';
import type { SearchIndex } from '../../../src/domain/search/indexes/search-index.ts';
import { loadBuiltInHandlers } from '../../../src/jobs/built-in-jobs.ts';
import { dropSlot } from '../../../src/lib/replication/slot.ts';
import type { Platform } from '../../../src/platform.ts';
import { useTreadle } from '../../queues/use-treadle.ts';
import { useDatabase, type TestDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useElasticsearch } from '../../services/elasticsearch.ts';

export type Shown = Readonly<Record<string, unknown>> & { readonly id: string; readonly version: number };

export interface Shop {
  readonly database: TestDatabase;
  readonly platform: Platform;
  readonly replicator: Replicator;
  index(name: string): SearchIndex;
  /** What searches of an index find, by workspace and id, once it has everything that is committed. */
  shown(name: string): Promise<ReadonlyMap<string, Shown>>;
  /** The same without versions and vectors, in the order of keys, to be compared with {@link expected}. */
  documents(name: string): Promise<readonly unknown[]>;
  /** What its tables say. */
  expected(name: string): Promise<readonly unknown[]>;
  /** The documents that were written anew by what happened meanwhile. */
  written(name: string, work: () => Promise<unknown>): Promise<readonly string[]>;
  /** All indexes are built, and follow. */
  ready(): Promise<void>;
}

export interface ShopOptions {
  /** Modules, as TREADLE_INDEXES names them. */
  readonly modules?: string;
  readonly sql?: string;
}

const hits = z.object({
  hits: z.object({
    hits: z.array(
      z.object({
        _source: z.looseObject({ id: z.string(), version: z.number(), workspace_id: z.string().optional() }),
      }),
    ),
  }),
});
const folder = path.relative(process.cwd(), import.meta.dirname);
const inOrder = (all: readonly (readonly [string, unknown])[]): readonly unknown[] =>
  all.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
const keyOf = ({ workspaceId, id }: DocumentKey): string => (workspaceId === '' ? id : `${workspaceId}/${id}`);

/** An app's tables, its indexes, and everything of Treadle that keeps them, in this process; to be called once, at the top. */
export const useShop = ({ modules = `./${folder}/shop-indexes.ts`, sql = '' }: ShopOptions = {}): Shop => {
  const database = useDatabase();
  const searched = useElasticsearch();
  beforeAll(async () => {
    const client = await database.postgres.connectDirect('shop');
    await client.query((await readFile(path.join(import.meta.dirname, 'shop.sql'), 'utf8')) + sql);
    await client.end();
  });
  const handlers: Awaited<ReturnType<typeof loadBuiltInHandlers>>[number][] = [];
  beforeAll(async () => {
    handlers.push(...(await loadBuiltInHandlers()));
  });
  const treadle = useTreadle({
    database,
    contracts: [],
    handlers,
    env: {
      ELASTICSEARCH_URL: elasticsearchUrl,
      ELASTICSEARCH_PREFIX: searched.prefix,
      TREADLE_INDEXES: modules,
      TREADLE_EMBEDDING_DIMENSIONS: '64',
    },
  });
  const slot = `test_${process.pid}_${Math.random().toString(36).slice(2)}`;
  let replicator: Replicator | undefined;
  beforeAll(() => {
    const { postgres, log } = treadle.platform;
    replicator = new Replicator({
      postgres,
      log,
      slot,
      ...createSinks(treadle.platform),
      statusMs: 50,
      heartbeatMs: 200,
      limits: { patienceMs: 500 },
    });
    replicator.start();
  });
  afterAll(async () => {
    await replicator?.close();
    await dropSlot(database.postgres, slot);
  });
  const index = (name: string): SearchIndex => treadle.platform.indexes.get(name);
  const current = async (name: string): Promise<void> => {
    await index(name).states.awaitCurrent(name, { signal: AbortSignal.timeout(30_000), timeoutMs: 20_000 });
  };
  const shown = async (name: string): Promise<ReadonlyMap<string, Shown>> => {
    await current(name);
    const { live } = index(name).source.definition.names;
    const { elasticsearch } = searched;
    await elasticsearch.call((client, options) => client.indices.refresh({ index: live }, options));
    const found = await elasticsearch.call((client, options) => client.search({ index: live, size: 5_000 }, options));
    return new Map(
      hits
        .parse(found)
        .hits.hits.map(({ _source: one }) => [keyOf({ workspaceId: one.workspace_id ?? '', id: one.id }), one]),
    );
  };
  const documents = async (name: string): Promise<readonly unknown[]> =>
    inOrder([...(await shown(name))].map(([key, one]) => [key, { ...one, version: 0, chunks: [] }]));
  const expected = async (name: string): Promise<readonly unknown[]> => {
    const all: [string, unknown][] = [];
    for (let after: DocumentKey | undefined; ;) {
      const page = await index(name).source.scan(database.postgres, after);
      after = page.at(-1);
      if (after === undefined) return inOrder(all);
      for (const one of page) {
        const content: unknown = JSON.parse(one.json);
        all.push([keyOf(one), { ...z.looseObject({}).parse(content), content_hash: one.hash, version: 0, chunks: [] }]);
      }
    }
  };
  return {
    database,
    get platform() {
      return treadle.platform;
    },
    get replicator() {
      if (!replicator) throw new Error('it follows from beforeAll on');
      return replicator;
    },
    index,
    shown,
    documents,
    expected,
    written: async (name, work) => {
      const before = await shown(name);
      await work();
      const after = await shown(name);
      const changed = [...after].filter(([key, { version }]) => before.get(key)?.version !== version);
      const gone = [...before.keys()].filter((key) => !after.has(key));
      return [...changed.map(([key]) => key), ...gone.map((key) => `-${key}`)].toSorted();
    },
    ready: async () => {
      const { indexes } = treadle.platform;
      for (const deadline = Date.now() + 50_000; ; await delay(100)) {
        const reasons = await Promise.all(indexes.all().map(whyNotCurrent));
        if (reasons.every((why) => why === undefined)) return;
        if (Date.now() > deadline) throw new Error(`the indexes are not ready: ${reasons.join('; ')}`);
      }
    },
  };
};
