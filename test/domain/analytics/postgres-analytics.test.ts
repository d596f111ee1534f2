import { array, assert as check, integer, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addCounts, countResponseTimes, percentileOfCounts } from '../../../src/domain/analytics/response-times.ts';
import type { Workspace } from '../../../src/domain/workspaces/types.ts';
import { deleteSearchesBeyond } from '../../../src/jobs/maintenance/delete-searches-beyond.ts';
import { percentile } from '../../../src/lib/telemetry/percentile.ts';
import { useDatabase } from '../../services/database.ts';
import { AnalyticsWorld, postgresStore, searchOf } from './analytics-world.ts';

const database = useDatabase();
const world = new AnalyticsWorld(database, postgresStore(database));

describe('what is kept', () => {
  const queries = async ({ id }: Workspace): Promise<number> =>
    (await database.query('SELECT FROM treadle.search_queries WHERE workspace_id = $1', [id])).length;

  test('of queries are the frequent ones, however many others are made up', async () => {
    const ws = await world.workspace();
    const { service, store } = world.start();
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
    const [ws, other] = [await world.workspace(), await world.workspace()];
    const { service } = world.start();
    for (let n = 0; n < 30; n += 1) service.trackSearchQuery(searchOf(n % 3 === 0 ? other : ws, { query: `q${n}` }));
    await service.flush();
    await database.query(
      `UPDATE treadle.searches SET searched_at = now() - make_interval(mins => 60 - substr(query, 2)::integer)
       WHERE workspace_id = $1`,
      [ws.id],
    );
    expect(await deleteSearchesBeyond(database.postgres, 15, AbortSignal.timeout(10_000))).toBeGreaterThanOrEqual(5);
    expect(await world.store.kept(ws)).toBe(15);
    const rows = await database.query<{ query: string }>(
      'SELECT query FROM treadle.searches WHERE workspace_id = $1 ORDER BY searched_at LIMIT 1',
      [ws.id],
    );
    expect(rows).toEqual([{ query: 'q8' }]);
    expect(await world.store.kept(other)).toBe(10);
    expect((await service.getSearchTrends(ws)).searches).toBe(20);
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
