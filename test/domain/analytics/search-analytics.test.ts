import { describe, expect, test } from 'vitest';
import { uuidV7 } from '../../../src/lib/ids/uuid-v7.ts';
import { percentile } from '../../../src/lib/telemetry/percentile.ts';
import { useDatabase } from '../../services/database.ts';
import { clickOn, onEachStore, recordOf, searchOf, type AnalyticsWorld } from './analytics-world.ts';

const database = useDatabase();
const dayMs = 86_400_000;
/** Wide enough for today in every time zone. */
const aroundNow = () => ({
  from: new Date(Date.now() - 3 * dayMs).toISOString(),
  to: new Date(Date.now() + 3 * dayMs).toISOString(),
});

const searches = (world: AnalyticsWorld) => {
  test('are kept as they were asked, once, whoever writes them again', async () => {
    const ws = await world.workspace();
    const { service, store } = world.start();
    const filters = {
      tags: ['weaving', ...Array.from({ length: 50 }, (_, n) => `t${n}`)],
      from: new Date('2026-01-01T00:00:00Z'),
    };
    const search = searchOf(ws, { query: '  Ｌoom \0 WEAVING ', filters, degraded: true, userId: 'user 7' });
    const before = Date.now();
    service.trackSearchQuery(search);
    await service.flush();
    const kept = await world.store.find(search.searchId);
    expect(kept).toEqual({
      query: 'Ｌoom   WEAVING',
      normalizedQuery: 'loom weaving',
      mode: 'hybrid',
      filters: { tags: filters.tags.slice(0, 20), from: '2026-01-01T00:00:00.000Z' },
      userId: 'user 7',
      resultCount: 3,
      responseTimeMs: 12,
      backend: 'postgres',
      degraded: true,
      timestamp: expect.any(Date),
      clicks: [],
    });
    const at = kept?.timestamp ?? new Date(0);
    expect(at.getTime()).toBeGreaterThanOrEqual(before);
    const again = { ...search, query: 'other', normalizedQuery: 'loom weaving', timestamp: at };
    const another = { ...again, searchId: uuidV7() };
    expect(await store.record([again, another, again, another])).toEqual({ refused: 0 });
    expect(await world.store.find(search.searchId)).toEqual(kept);
    expect(await service.getSearchTrends(ws)).toMatchObject({
      searches: 2,
      degraded: 2,
      popularQueries: [{ query: 'loom weaving', searches: 2 }],
    });
  });

  test('tell which workspaces were searched lately', async () => {
    const [searched, quiet] = [await world.workspace(), await world.workspace()];
    const { service } = world.start();
    service.trackSearchQuery(searchOf(searched));
    await service.flush();
    // Elasticsearch shows it with its next refresh.
    await expect
      .poll(() => service.searchedSince(new Date(Date.now() - 7 * dayMs)), { timeout: 10_000 })
      .toContain(searched.id);
    expect(await service.searchedSince(new Date(Date.now() - 7 * dayMs))).not.toContain(quiet.id);
    expect(await service.searchedSince(new Date(Date.now() + 7 * dayMs))).toEqual([]);
  });

  test('of many at once none is lost, from whichever process', async () => {
    const [one, other] = [await world.workspace(), await world.workspace()];
    const processes = [world.start(), world.start(), world.start()];
    for (let n = 0; n < 6_000; n += 1) {
      const ws = n % 3 === 0 ? other : one;
      const query = `query ${n % 20}`;
      processes[n % 3]?.service.trackSearchQuery(searchOf(ws, { query, resultCount: n % 2, responseTimeMs: n % 100 }));
      if (n % 500 === 0) await new Promise(setImmediate);
    }
    await Promise.all(processes.map(({ service }) => service.flush()));
    const { service, counted } = processes[0] ?? world.start();
    expect(await counted('search', 'written')).toBe(2_000);
    const trends = await service.getSearchTrends(one);
    expect(trends).toMatchObject({ searches: 4_000, withoutResult: 2_000, clicks: 0, clickThroughRate: 0 });
    expect(trends.popularQueries).toHaveLength(10);
    expect(new Set(trends.popularQueries.map(({ searches: count }) => count))).toEqual(new Set([200]));
    expect(trends.responseTime?.averageMs).toBeGreaterThan(45);
    expect((await service.getSearchTrends(other)).searches).toBe(2_000);
  });

  test('go on while the store is away: what fits waits for it, the rest is dropped and counted', async () => {
    const ws = await world.workspace();
    const { store, proxy, close } = await world.store.behindProxy();
    const { service, counted } = world.start({ store, maxPending: 50, flushMs: 60_000 });
    try {
      await proxy.close();
      for (let n = 0; n < 80; n += 1) service.trackSearchQuery(searchOf(ws));
      await service.flush();
      expect(await counted('search', 'full')).toBe(30);
      expect(await world.store.kept(ws)).toBe(0);
      await proxy.open();
      await service.flush();
      expect(await world.store.kept(ws)).toBe(50);
      expect(await counted('search', 'written')).toBe(50);
      await proxy.close();
      service.trackSearchQuery(searchOf(ws));
      await service.close();
      expect(await counted('search', 'closed')).toBe(1);
    } finally {
      await close();
      await proxy.close();
    }
  });

  test('are written by themselves, and what is left of them at the end', async () => {
    const ws = await world.workspace();
    world.start().service.trackSearchQuery(searchOf(ws));
    await expect.poll(() => world.store.kept(ws), { timeout: 10_000 }).toBe(1);
    const { service } = world.start({ flushMs: 60_000 });
    service.trackSearchQuery(searchOf(ws));
    await service.close();
    expect(await world.store.kept(ws)).toBe(2);
  });

  test('that cannot be kept are no hindrance to others', async () => {
    const [ws, gone] = [await world.workspace(), await world.workspace()];
    await world.deleteWorkspace(gone);
    const { service, counted, store } = world.start();
    service.trackSearchQuery(searchOf(ws));
    service.trackSearchQuery(searchOf(ws, { resultCount: 2 ** 31 }));
    service.trackSearchQuery(searchOf(gone));
    service.trackSearchQuery(searchOf(ws, { query: 'x'.repeat(5_000) }));
    await service.flush();
    expect(await world.store.kept(ws)).toBe(2);
    expect(await counted('search', 'refused')).toBe(2);
    const faulty = [{ searchId: 'none' }, { workspaceId: 'none' }, { resultCount: -1 }, { responseTimeMs: -1 }];
    const batch = faulty.map((fault) => recordOf(ws, fault));
    expect(await store.record([recordOf(ws), ...batch, recordOf(ws)])).toEqual({ refused: 4 });
    expect(await store.record([])).toEqual({ refused: 0 });
    expect(await world.store.kept(ws)).toBe(4);
  });

  test('of a deleted workspace are in no trends', async () => {
    const [ws, other] = [await world.workspace(), await world.workspace()];
    const { service } = world.start();
    for (const workspace of [ws, other]) service.trackSearchQuery(searchOf(workspace));
    expect((await service.getSearchTrends(ws)).searches).toBe(1);
    await world.deleteWorkspace(ws);
    expect(await service.getSearchTrends(ws)).toMatchObject({ searches: 0, responseTime: null, popularQueries: [] });
    expect((await service.getSearchTrends(other)).searches).toBe(1);
  });
};

const clicks = (world: AnalyticsWorld) => {
  test('count once a document, in the workspace of their search only, also when they come first', async () => {
    const [ws, other] = [await world.workspace(), await world.workspace()];
    const { service, counted } = world.start();
    const [clicked, plain] = [searchOf(ws), searchOf(ws)];
    const document = uuidV7();
    service.recordClick(clickOn(ws, clicked, { documentId: document, position: 2 }));
    await service.flush();
    service.trackSearchQuery(clicked);
    service.trackSearchQuery(plain);
    service.recordClick(clickOn(ws, clicked, { documentId: document.toUpperCase(), position: 3 }));
    service.recordClick(clickOn(ws, { searchId: clicked.searchId.toUpperCase() }));
    service.recordClick(clickOn(other, plain));
    service.recordClick(clickOn(ws, searchOf(ws)));
    await service.flush();
    const trends = await service.getSearchTrends(ws);
    expect(trends).toMatchObject({ searches: 2, clicks: 2, clickThroughRate: 0.5 });
    expect(trends.searchVolume.at(-1)).toMatchObject({ searches: 2, clicks: 2 });
    expect((await service.getSearchTrends(other)).clicks).toBe(0);
    const kept = await world.store.find(clicked.searchId);
    expect(kept?.clicks).toMatchObject([{ documentId: document, position: 2 }, { position: 1 }]);
    await service.close();
    expect(await counted('click', 'closed')).toBe(2);
  });

  test('of one search are counted right when processes note them at the same time, and up to a hundred', async () => {
    const ws = await world.workspace();
    const processes = Array.from({ length: 4 }, () => world.start());
    const search = searchOf(ws);
    processes[0]?.service.trackSearchQuery(search);
    await processes[0]?.service.flush();
    const documents = Array.from({ length: 30 }, () => uuidV7());
    const own = processes.map(() => Array.from({ length: 5 }, () => uuidV7()));
    for (const [place, { service }] of processes.entries()) {
      for (const documentId of [...documents, ...(own[place] ?? [])])
        service.recordClick(clickOn(ws, search, { documentId }));
    }
    await Promise.all(processes.map(({ service }) => service.flush()));
    const { service } = processes[0] ?? world.start();
    expect(await service.getSearchTrends(ws)).toMatchObject({ clicks: 50, clickThroughRate: 1 });
    for (let n = 0; n < 100; n += 1) service.recordClick(clickOn(ws, search));
    expect(await service.getSearchTrends(ws)).toMatchObject({ clicks: 100, clickThroughRate: 1 });
    expect((await world.store.find(search.searchId))?.clicks).toHaveLength(100);
  });

  test('stay on a search that is written again, and are noted once when they are given again', async () => {
    const ws = await world.workspace();
    const { service, store } = world.start();
    const search = recordOf(ws);
    const batch = [clickOn(ws, search), clickOn(ws, search), clickOn(ws, recordOf(ws))].map((click) => ({
      ...click,
      clickedAt: new Date(),
    }));
    await store.record([search]);
    expect(await store.click(batch)).toEqual([batch[2]]);
    expect(await store.record([search])).toEqual({ refused: 0 });
    expect((await world.store.find(search.searchId))?.clicks).toHaveLength(2);
    expect(await store.click(batch)).toEqual([batch[2]]);
    expect(await store.click([])).toEqual([]);
    expect(await service.getSearchTrends(ws)).toMatchObject({ searches: 1, clicks: 2, clickThroughRate: 1 });
  });
};

const trends = (world: AnalyticsWorld) => {
  test('name the ten most frequent queries, and of equal ones the first', async () => {
    const [ws, other] = [await world.workspace(), await world.workspace()];
    const { store } = world.start();
    const at = (daysAgo: number) => new Date(Date.now() - daysAgo * dayMs);
    const batch = Array.from({ length: 15 }, (_, n) =>
      // Over several months.
      Array.from({ length: n + 1 }, (__, m) =>
        recordOf(ws, { query: `Q ${n}`, resultCount: n % 3 === 0 ? 0 : m, timestamp: at(m * 8) }),
      ),
    ).flat();
    const elsewhere = Array.from({ length: 40 }, () => recordOf(other, { query: 'of another', resultCount: 0 }));
    await store.record([...batch, ...elsewhere, recordOf(ws, { query: 'q 14', timestamp: at(300) })]);
    const { service } = world.start({ store });
    const found = await service.getSearchTrends(ws, { from: at(200).toISOString(), to: at(-1).toISOString() });
    expect(found.searches).toBe(120);
    expect(found.popularQueries).toEqual(
      Array.from({ length: 10 }, (_, n) => ({ query: `q ${14 - n}`, searches: 15 - n })),
    );
    expect(found.zeroResultQueries).toEqual([
      ...[12, 9, 6, 3].map((n) => ({ query: `q ${n}`, searches: n + 1 })),
      ...[0, 1, 10, 11, 13, 14].map((n) => ({ query: `q ${n}`, searches: 1 })),
    ]);
    expect(found.withoutResult).toBe(45);
    expect(found.searchVolume.filter(({ searches: count }) => count > 0)).toHaveLength(15);
    expect(found.searchVolume).toHaveLength(202);
  });

  test('name a query that is among the most frequent of no month, and is of all', async () => {
    const ws = await world.workspace();
    const { service, store } = world.start();
    const months = [70, 35].map((daysAgo) => new Date(Date.now() - daysAgo * dayMs));
    const once = (query: string, timestamp: Date, resultCount = 1) => recordOf(ws, { query, timestamp, resultCount });
    for (const timestamp of months) {
      const often = Array.from({ length: 3 * 60 }, (_, n) =>
        once(`of ${timestamp.getTime()}: ${n % 60}`, timestamp, 0),
      );
      await store.record([...often, once('steady', timestamp, 0), once('steady', timestamp, 0)]);
    }
    const found = await service.getSearchTrends(ws, { from: new Date(Date.now() - 90 * dayMs).toISOString() });
    expect(found.popularQueries[0]).toEqual({ query: 'steady', searches: 4 });
    expect(found.zeroResultQueries[0]).toEqual({ query: 'steady', searches: 4 });
  });

  test('have the average response time, and a 95th percentile within a tenth of the true one', async () => {
    const { service, store } = world.start();
    for (const count of [1, 2, 20, 31, 100]) {
      const ws = await world.workspace();
      // From 1 ms to nearly a minute, the long ones rare.
      const timesMs = Array.from({ length: count }, (_, n) => Math.ceil(1.115 ** ((n * 37) % 101)));
      await store.record(timesMs.map((responseTimeMs) => recordOf(ws, { responseTimeMs })));
      const { responseTime } = await service.getSearchTrends(ws);
      expect(responseTime?.averageMs).toBe(Math.round(timesMs.reduce((sum, timeMs) => sum + timeMs, 0) / count));
      const exact = percentile(timesMs, 0.95);
      // In whole milliseconds.
      expect(responseTime?.p95Ms).toBeGreaterThanOrEqual(Math.floor(exact / 1.101));
      expect(responseTime?.p95Ms).toBeLessThanOrEqual(Math.ceil(exact * 1.101));
    }
    const ws = await world.workspace();
    await store.record([recordOf(ws, { responseTimeMs: 0 })]);
    expect((await service.getSearchTrends(ws)).responseTime).toMatchObject({ averageMs: 0 });
  });

  test('go by days of the workspace', async () => {
    const kiritimati = await world.workspace('Pacific/Kiritimati');
    const { service } = world.start();
    const daysOf = async (range: { from?: string; to?: string }): Promise<readonly string[]> => {
      const { searchVolume } = await service.getSearchTrends(kiritimati, range);
      return searchVolume.map(({ day }) => day);
    };
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

  test('count a search on the day that it was in the workspace, whatever its time zone is later', async () => {
    const { service } = world.start();
    // Where it is another day than in UTC now.
    const timeZone = new Date().getUTCHours() < 12 ? 'Etc/GMT+12' : 'Pacific/Kiritimati';
    const elsewhere = await world.workspace(timeZone);
    const today = new Intl.DateTimeFormat('en-CA', { timeZone }).format(new Date());
    service.trackSearchQuery(searchOf(elsewhere));
    await service.flush();
    await database.query(`UPDATE treadle.workspaces SET time_zone = 'UTC' WHERE id = $1`, [elsewhere.id]);
    const found = await service.getSearchTrends({ ...elsewhere, timeZone: 'UTC' }, aroundNow());
    expect(found.searches).toBe(1);
    expect(found.searchVolume.find((day) => day.searches === 1)?.day).toBe(today);
  });
};

onEachStore(database, (world) => {
  describe('searches', () => {
    searches(world);
  });
  describe('clicks', () => {
    clicks(world);
  });
  describe('trends', () => {
    trends(world);
  });
});
