import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { ElasticsearchSearch } from '../../../src/domain/search/elasticsearch/elasticsearch-search.ts';
import { KnowledgeIndex } from '../../../src/domain/search/elasticsearch/knowledge-index.ts';
import { IndexCurrency } from '../../../src/domain/search/index-currency.ts';
import { PostgresSearch } from '../../../src/domain/search/postgres/postgres-search.ts';
import { SearchService } from '../../../src/domain/search/search-service.ts';
import { Elasticsearch } from '../../../src/lib/elasticsearch/connect-elasticsearch.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { readSlot } from '../../../src/lib/replication/slot.ts';
import { RateLimits } from '../../../src/lib/resilience/rate-limits.ts';
import { RemoteServices } from '../../../src/lib/resilience/remote-services.ts';
import { Meter } from '../../../src/lib/telemetry/meter.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useElasticsearch } from '../../services/elasticsearch.ts';
import { TcpProxy } from '../../services/tcp-proxy.ts';
import { expectEqual, FollowedIndex, until } from './followed-index.ts';
import { SearchWorld } from './search-world.ts';

const model = new LocalEmbedder();
const maxWaiting = 500;
/** What one read of a socket brings, 64 KiB, when of each row only its keys are told; and a transaction. */
const mostAtOnce = 700;
/** AWAY_SECONDS=300 for an outage as it happens at night. */
const awayMs = Number(process.env['AWAY_SECONDS'] ?? 0) * 1_000;
const patienceMs = 60_000 + awayMs * 3;
/** However long it is away. */
const mostRetainedBytes = 128 * 1_048_576;

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] while Elasticsearch is away under load', () => {
  const database = useDatabase();
  const { prefix } = useElasticsearch();
  const proxy = new TcpProxy(elasticsearchUrl || 'http://127.0.0.1:9');
  const world = new SearchWorld(database);
  const log = createLog({ level: 'silent' });
  let elasticsearch: Elasticsearch;
  let followed: FollowedIndex;
  let search: SearchService;
  let ws = '';
  beforeAll(async () => {
    await proxy.open();
    // As a process has one, with times that a test can wait for.
    const limits = new RateLimits({ redis: undefined, postgres: database.postgres, log });
    const remote = new RemoteServices({ meter: new Meter(log), log, limits });
    const bulkhead = { max: 32, maxWaiting: 200 };
    elasticsearch = new Elasticsearch(
      { url: proxy.url },
      remote.open({ name: 'away', timeoutMs: awayMs > 0 ? 30_000 : 2_000, breaker: { openMs: 2_000 }, bulkhead }),
    );
    const knowledge = new KnowledgeIndex({ elasticsearch, db: database.postgres, model, prefix });
    followed = new FollowedIndex(database.postgres, knowledge.index, { limits: { patienceMs: 200, maxWaiting } });
    await followed.start();
    await followed.rebuild();
    ws = await world.workspace();
    const currency = new IndexCurrency(knowledge.index, log);
    search = new SearchService({
      postgres: database.postgres,
      backend: new ElasticsearchSearch({ elasticsearch, definition: knowledge.definition, model }),
      fallback: new PostgresSearch(database.postgres),
      isCurrent: () => currency.isCurrent(),
      embedder: world.embeddings,
      log,
    });
  });
  afterAll(async () => {
    await followed?.close();
    await elasticsearch?.close();
    await proxy.close();
  });

  const find = () => search.search({ workspaceId: ws, query: '', mode: 'keyword' });
  const confirmed = async (): Promise<bigint> =>
    (await readSlot(database.postgres, followed.slot))?.confirmedFlush ?? 0n;
  const backlog = async (): Promise<number> => (await database.query('SELECT FROM treadle.change_backlog')).length;

  it.for([
    ['is down', () => proxy.close(), () => proxy.open()],
    ['does not answer', () => Promise.resolve(proxy.freeze()), () => Promise.resolve(proxy.thaw())],
  ] as const)(
    'and %s: writes go on, Postgres answers, memory is bounded, and the index catches up alone',
    { timeout: 120_000 + 5 * awayMs },
    async ([, away, back]) => {
      await world.write(ws, { title: 'Before' });
      await followed.current();
      await expect.poll(find, { timeout: 20_000 }).toMatchObject({ backend: 'elasticsearch', degraded: false });
      const before = await confirmed();
      const verifications = followed.verifications;
      await away();
      let most = 0;
      let retained = 0;
      const slowest: number[] = [];
      const over = new AbortController();
      const writing = (async () => {
        for (let turn = 0; !over.signal.aborted; turn += 1) {
          const startedAt = performance.now();
          await database.query(
            `INSERT INTO treadle.knowledge (workspace_id, title) SELECT $1, 'Away ' || n FROM generate_series(1, 100) AS n`,
            [ws],
          );
          await database.query(
            `DELETE FROM treadle.knowledge WHERE id IN (SELECT id FROM treadle.knowledge WHERE workspace_id = $1 LIMIT 30)`,
            [ws],
          );
          slowest.push(performance.now() - startedAt);
          most = Math.max(most, followed.sink?.waiting ?? 0);
          await delay(awayMs > 0 ? 200 : 20);
        }
      })();
      try {
        await until(() => followed.sink?.state === 'behind', 'the sink is left behind', 60_000);
        await until(async () => (await backlog()) > 3 * maxWaiting, 'its changes are kept in Postgres', 30_000);
        // The slot does not wait for it: WAL stays bounded.
        await until(async () => (await confirmed()) > before, 'the slot goes on');
        for (const deadline = performance.now() + awayMs; performance.now() < deadline; await delay(1_000)) {
          retained = Math.max(retained, (await readSlot(database.postgres, followed.slot))?.retainedBytes ?? 0);
        }
        const total = async () => (await find()).total;
        expect(await find()).toMatchObject({ backend: 'postgres', degraded: true });
        expect(await total()).toBeGreaterThan(1_000);
        expect(await search.suggest(ws, 'aw')).toMatchObject({ titles: [{}, {}, {}, {}, {}] });
      } finally {
        over.abort();
        await writing;
        await back();
      }
      expect(Math.max(...slowest)).toBeLessThan(5_000);
      expect(most).toBeLessThan(maxWaiting + mostAtOnce);
      expect(retained).toBeLessThan(mostRetainedBytes);
      await until(() => followed.sink?.state === 'following', 'the sink follows again', patienceMs);
      await followed.current(patienceMs);
      const [{ documents } = { documents: 0 }] = await database.query<{ documents: number }>(
        'SELECT count(*)::int AS documents FROM treadle.knowledge',
      );
      await expectEqual(followed, documents);
      if (awayMs > 0) {
        const retainedMb = Math.round(retained / 1_048_576);
        console.log(
          `away for ${awayMs / 1_000} s: ${slowest.length} rounds of writes, the slowest ${Math.round(Math.max(...slowest))} ms; at most ${most} entities waiting, ${retainedMb} MB of WAL retained; ${documents} documents equal`,
        );
      }
      // It may have lost what it had.
      expect(followed.verifications).toBe(verifications + 1);
      expect(followed.refused).toEqual([]);
      await expect.poll(find, { timeout: 30_000 }).toMatchObject({ backend: 'elasticsearch', degraded: false });
    },
  );
});
