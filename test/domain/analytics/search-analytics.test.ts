import { array, assert as check, integer, property } from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { PostgresAnalytics } from '../../../src/domain/analytics/postgres/postgres-analytics.ts';
import { addCounts, countResponseTimes, percentileOfCounts } from '../../../src/domain/analytics/response-times.ts';
import { SearchAnalyticsService } from '../../../src/domain/analytics/search-analytics-service.ts';
import type { TrackedSearch } from '../../../src/domain/analytics/types.ts';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import type { Workspace } from '../../../src/domain/workspaces/types.ts';
import { deleteSearchesBeyond } from '../../../src/jobs/maintenance/delete-searches-beyond.ts';
import { uuidV7 } from '../../../src/lib/ids/uuid-v7.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { Meter } from '../../../src/lib/telemetry/meter.ts';
import { percentile } from '../../../src/lib/telemetry/percentile.ts';
import { useDatabase } from '../../services/database.ts';
import { TcpProxy } from '../../services/tcp-proxy.ts';

const database = useDatabase();
const log = createLog({ level: 'silent' });
const open: SearchAnalyticsService[] = [];
let made = 0;
afterEach(async () => {
  for (const service of open.splice(0)) await service.close();
});

const workspace = (timeZone = 'UTC'): Promise<Workspace> => {
  made += 1;
  return new WorkspaceService({ postgres: database.postgres, log }).create({ name: `w${made}`, timeZone });
};

/** What one process has. */
const start = ({ postgres = database.postgres, maxPending = 10_000, flushMs = 10 } = {}) => {
  const meter = new Meter(log);
  const store = new PostgresAnalytics(postgres);
  const service = new SearchAnalyticsService({ store, meter, log, maxPending, flushMs });
  open.push(service);
  const counted = async (what: string, outcome: string): Promise<number> => {
    const line = `treadle_search_records_total{what="${what}",outcome="${outcome}"} `;
    const found = (await meter.expose()).split('\n').find((text) => text.startsWith(line));
    return Number(found?.slice(line.length) ?? 0);
  };
  return { service, store, counted };
};

const searchOf = ({ id }: Workspace, more: Partial<TrackedSearch> = {}): TrackedSearch => ({
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

const kept = async ({ id }: Workspace): Promise<number> =>
  (await database.query('SELECT FROM treadle.searches WHERE workspace_id = $1', [id])).length;

describe('searches', () => {
  test('are kept as they were asked, once, whoever writes them again', async () => {
    const ws = await workspace();
    const { service, store } = start();
    const filters = {
      tags: ['weaving', ...Array.from({ length: 50 }, (_, n) => `t${n}`)],
      from: new Date('2026-01-01T00:00:00Z'),
    };
    const search = searchOf(ws, { query: '  Ｌoom \0 WEAVING ', filters, degraded: true, userId: 'user 7' });
    service.trackSearchQuery(search);
    await service.flush();
    const again = { ...search, query: 'Loom   WEAVING', normalizedQuery: 'loom weaving', timestamp: new Date() };
    expect(await store.record([again, { ...again, searchId: uuidV7() }])).toEqual({ refused: 0 });
    expect(
      await database.query(
        `SELECT query, normalized_query, mode, filters, user_id, result_count, response_time_ms, backend, degraded,
           clicked_results, searched_at > now() - interval '1 minute' AS recent
         FROM treadle.searches WHERE search_id = $1`,
        [search.searchId],
      ),
    ).toEqual([
      {
        query: 'Ｌoom   WEAVING',
        normalized_query: 'loom weaving',
        mode: 'hybrid',
        filters: { tags: filters.tags.slice(0, 20), from: '2026-01-01T00:00:00.000Z' },
        user_id: 'user 7',
        result_count: 3,
        response_time_ms: 12,
        backend: 'postgres',
        degraded: true,
        clicked_results: [],
        recent: true,
      },
    ]);
    const trends = await service.getSearchTrends(ws);
    expect(trends).toMatchObject({
      searches: 2,
      degraded: 2,
      popularQueries: [{ query: 'loom weaving', searches: 2 }],
    });
  });

  test('of many at once none is lost, from whichever process', async () => {
    const [one, other] = [await workspace(), await workspace()];
    const processes = [start(), start(), start()];
    for (let n = 0; n < 6_000; n += 1) {
      const ws = n % 3 === 0 ? other : one;
      const query = `query ${n % 20}`;
      processes[n % 3]?.service.trackSearchQuery(searchOf(ws, { query, resultCount: n % 2, responseTimeMs: n % 100 }));
      if (n % 500 === 0) await new Promise(setImmediate);
    }
    await Promise.all(processes.map(({ service }) => service.flush()));
    const { service, counted } = processes[0] ?? start();
    expect(await counted('search', 'written')).toBe(2_000);
    const trends = await service.getSearchTrends(one);
    expect(trends).toMatchObject({ searches: 4_000, withoutResult: 2_000, clicks: 0, clickThroughRate: 0 });
    expect(trends.popularQueries).toHaveLength(10);
    expect(new Set(trends.popularQueries.map(({ searches }) => searches))).toEqual(new Set([200]));
    expect(trends.responseTime?.averageMs).toBeGreaterThan(45);
    expect((await service.getSearchTrends(other)).searches).toBe(2_000);
  });

  test('go on while the store is away: what fits waits for it, the rest is dropped and counted', async () => {
    const ws = await workspace();
    const proxy = new TcpProxy(database.url);
    await proxy.open();
    const { url } = proxy;
    const postgres = new Postgres(
      { url, directUrl: url, poolSize: 2, statementTimeoutMs: 5_000, applicationName: 'away' },
      log,
    );
    const { service, counted } = start({ postgres, maxPending: 50 });
    try {
      await proxy.close();
      for (let n = 0; n < 80; n += 1) service.trackSearchQuery(searchOf(ws));
      await service.flush();
      expect(await counted('search', 'full')).toBe(30);
      expect(await kept(ws)).toBe(0);
      await proxy.open();
      await service.flush();
      expect(await kept(ws)).toBe(50);
      expect(await counted('search', 'written')).toBe(50);
      await proxy.close();
      service.trackSearchQuery(searchOf(ws));
      await service.close();
      expect(await counted('search', 'closed')).toBe(1);
    } finally {
      await postgres.close();
      await proxy.close();
    }
  });

  test('are written by themselves, and what is left of them at the end', async () => {
    const ws = await workspace();
    start().service.trackSearchQuery(searchOf(ws));
    await expect.poll(() => kept(ws), { timeout: 10_000 }).toBe(1);
    const { service } = start({ flushMs: 60_000 });
    service.trackSearchQuery(searchOf(ws));
    await service.close();
    expect(await kept(ws)).toBe(2);
  });

  test('that cannot be kept are no hindrance to others', async () => {
    const [ws, gone] = [await workspace(), await workspace()];
    await database.query('DELETE FROM treadle.workspaces WHERE id = $1', [gone.id]);
    const { service, counted } = start();
    service.trackSearchQuery(searchOf(ws));
    service.trackSearchQuery(searchOf(ws, { filters: { tags: ['a\0b'] } }));
    service.trackSearchQuery(searchOf(gone));
    service.trackSearchQuery(searchOf(ws, { query: 'x'.repeat(5_000) }));
    await service.flush();
    expect(await kept(ws)).toBe(2);
    expect(await counted('search', 'refused')).toBe(2);
  });
});

describe('clicks', () => {
  const click = (ws: Workspace, { searchId }: TrackedSearch, documentId = uuidV7(), position = 1) => ({
    workspaceId: ws.id,
    searchId,
    documentId,
    position,
  });

  test('count once a document, in the workspace of their search only, also when they come first', async () => {
    const [ws, other] = [await workspace(), await workspace()];
    const { service, counted } = start();
    const [clicked, plain] = [searchOf(ws), searchOf(ws)];
    const document = uuidV7();
    service.recordClick(click(ws, clicked, document, 2));
    await service.flush();
    service.trackSearchQuery(clicked);
    service.trackSearchQuery(plain);
    service.recordClick(click(ws, clicked, document, 3));
    service.recordClick(click(ws, clicked, uuidV7(), 1));
    service.recordClick(click(other, plain));
    service.recordClick(click(ws, searchOf(ws)));
    await service.flush();
    const trends = await service.getSearchTrends(ws);
    expect(trends).toMatchObject({ searches: 2, clicks: 2, clickThroughRate: 0.5 });
    expect(trends.searchVolume.at(-1)).toMatchObject({ searches: 2, clicks: 2 });
    expect((await service.getSearchTrends(other)).clicks).toBe(0);
    const [row] = await database.query<{ clicks: unknown }>(
      'SELECT clicked_results AS clicks FROM treadle.searches WHERE search_id = $1',
      [clicked.searchId],
    );
    expect(row?.clicks).toMatchObject([{ documentId: document, position: 2 }, { position: 1 }]);
    await service.close();
    expect(await counted('click', 'closed')).toBe(2);
  });

  test('of one search are counted right when processes note them at the same time, and up to a hundred', async () => {
    const ws = await workspace();
    const processes = Array.from({ length: 4 }, () => start());
    const search = searchOf(ws);
    processes[0]?.service.trackSearchQuery(search);
    await processes[0]?.service.flush();
    const documents = Array.from({ length: 30 }, () => uuidV7());
    for (const { service } of processes) for (const id of documents) service.recordClick(click(ws, search, id));
    await Promise.all(processes.map(({ service }) => service.flush()));
    const { service } = processes[0] ?? start();
    expect(await service.getSearchTrends(ws)).toMatchObject({ clicks: 30, clickThroughRate: 1 });
    for (let n = 0; n < 100; n += 1) service.recordClick(click(ws, search));
    expect(await service.getSearchTrends(ws)).toMatchObject({ clicks: 100, clickThroughRate: 1 });
  });
});

describe('what is kept', () => {
  const queries = async ({ id }: Workspace): Promise<number> =>
    (await database.query('SELECT FROM treadle.search_queries WHERE workspace_id = $1', [id])).length;

  test('of queries are the frequent ones, however many others are made up', async () => {
    const ws = await workspace();
    const { service, store } = start();
    const track = (query: string, resultCount: number) =>
      service.trackSearchQuery(searchOf(ws, { query, resultCount }));
    for (let n = 0; n < 5_000; n += 1) {
      track(`made up ${n}`, n % 2);
      if (n % 100 === 0) track('frequent', 5);
      if (n % 200 === 0) track('missing', 0);
      if (n % 1_000 === 0) await service.flush();
    }
    await service.flush();
    expect(await queries(ws)).toBeLessThanOrEqual(2_000);
    const look = async () => service.getSearchTrends(ws, { from: '2026-01-01', to: '2027-01-01' });
    await database.query(`UPDATE treadle.search_queries SET day = '2026-06-01' WHERE workspace_id = $1`, [ws.id]);
    await database.query(`UPDATE treadle.search_days SET day = '2026-06-01' WHERE workspace_id = $1`, [ws.id]);
    const before = await look();
    expect(before.popularQueries.slice(0, 2)).toEqual([
      { query: 'frequent', searches: 50 },
      { query: 'missing', searches: 25 },
    ]);
    expect(before.zeroResultQueries[0]).toEqual({ query: 'missing', searches: 25 });
    expect(await store.closeDays(AbortSignal.timeout(10_000))).toBeGreaterThan(0);
    expect(await queries(ws)).toBeLessThanOrEqual(200);
    const after = await look();
    expect(after.searches).toBe(5_075);
    expect(after.popularQueries.slice(0, 2)).toEqual(before.popularQueries.slice(0, 2));
    expect(after.zeroResultQueries[0]).toEqual({ query: 'missing', searches: 25 });
    expect(await store.closeDays(AbortSignal.timeout(10_000))).toBe(0);
  });

  test('of searches are the latest, where a workspace has more than it may', async () => {
    const [ws, other] = [await workspace(), await workspace()];
    const { service } = start();
    for (let n = 0; n < 30; n += 1) service.trackSearchQuery(searchOf(n % 3 === 0 ? other : ws, { query: `q${n}` }));
    await service.flush();
    await database.query(
      `UPDATE treadle.searches SET searched_at = now() - make_interval(mins => 60 - substr(query, 2)::integer)
       WHERE workspace_id = $1`,
      [ws.id],
    );
    expect(await deleteSearchesBeyond(database.postgres, 15, AbortSignal.timeout(10_000))).toBeGreaterThanOrEqual(5);
    expect(await kept(ws)).toBe(15);
    const rows = await database.query<{ query: string }>(
      'SELECT query FROM treadle.searches WHERE workspace_id = $1 ORDER BY searched_at LIMIT 1',
      [ws.id],
    );
    expect(rows).toEqual([{ query: 'q8' }]);
    expect(await kept(other)).toBe(10);
    expect((await service.getSearchTrends(ws)).searches).toBe(20);
  });
});

describe('the range of trends', () => {
  let service: SearchAnalyticsService;
  let kiritimati: Workspace;
  beforeAll(async () => {
    kiritimati = await workspace('Pacific/Kiritimati');
  });
  afterAll(() => service.close());
  const daysOf = async (range: { from?: string; to?: string }): Promise<readonly string[]> => {
    ({ service } = start());
    const { searchVolume } = await service.getSearchTrends(kiritimati, range);
    return searchVolume.map(({ day }) => day);
  };

  test('goes by days of the workspace', async () => {
    expect(await daysOf({ from: '2026-02-27', to: '2026-03-02' })).toEqual(['2026-02-27', '2026-02-28', '2026-03-01']);
    // Fourteen hours ahead.
    expect(await daysOf({ from: '2026-02-27T09:59:59Z', to: '2026-02-28T10:00:00Z' })).toEqual([
      '2026-02-27',
      '2026-02-28',
    ]);
    expect(await daysOf({ from: '2026-02-27T10:00:00Z', to: '2026-02-28T10:00:01Z' })).toEqual([
      '2026-02-28',
      '2026-03-01',
    ]);
    expect(await daysOf({ from: '2024-01-01', to: '2025-01-01' })).toHaveLength(366);
    expect(await daysOf({})).toHaveLength(30);
  });

  test('counts a search on the day that it was in the workspace', async () => {
    const { service: tracking } = start();
    // Where it is another day than in UTC now.
    const timeZone = new Date().getUTCHours() < 12 ? 'Etc/GMT+12' : 'Pacific/Kiritimati';
    const elsewhere = await workspace(timeZone);
    tracking.trackSearchQuery(searchOf(elsewhere));
    const { searchVolume, searches } = await tracking.getSearchTrends(elsewhere, {
      from: new Date(Date.now() - 3 * 86_400_000).toISOString(),
      to: new Date(Date.now() + 3 * 86_400_000).toISOString(),
    });
    const today = new Intl.DateTimeFormat('en-CA', { timeZone }).format(new Date());
    expect(searches).toBe(1);
    expect(searchVolume.find((day) => day.searches === 1)?.day).toBe(today);
  });
});

test('percentiles of counted response times are within a tenth of those of the times themselves', () => {
  const times = array(integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 200 });
  check(
    property(times, times, (one, other) => {
      const counts = addCounts([countResponseTimes(one), countResponseTimes(other)]);
      const exact = percentile([...one, ...other], 0.95);
      const found = percentileOfCounts(counts, 0.95);
      expect(found / exact).toBeGreaterThan(1 / 1.101);
      expect(found / exact).toBeLessThan(1.101);
    }),
  );
});
