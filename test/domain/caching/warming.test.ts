import { beforeAll, expect, test } from 'vitest';
import { CacheWarmingService } from '../../../src/domain/caching/cache-warming-service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase } from '../../services/database.ts';
import { usePlatforms } from './platforms.ts';

const database = useDatabase();
const platforms = usePlatforms(database);
const log = createLog({ level: 'silent' });
const ids: Record<string, string> = {};

const service = (readsPerSecond = 10_000, searched: readonly string[] = []) => {
  const { postgres, knowledge, tags, workspaces, workspaceCache: cache } = platforms.one;
  const enqueued: string[] = [];
  const warming = new CacheWarmingService({
    postgres,
    knowledge,
    tags,
    workspaces,
    cache,
    log,
    readsPerSecond,
    searchedSince: () => Promise.resolve(searched),
    enqueue: async (due) => void enqueued.push(...due),
  });
  return { warming, enqueued };
};

/** What was told of changes comes a moment later, in the order in which they were made. */
const heardSoFar = async (): Promise<void> => {
  const { cache } = platforms.one;
  await cache.set('marker', 1, { tags: ['searches:marker'] });
  await database.query(`SELECT pg_notify('treadle_cache_changes', '{"kind":"search","workspaceId":"marker"}')`);
  for (const deadline = Date.now() + 10_000; (await cache.get('marker')) !== undefined;) {
    if (Date.now() > deadline) throw new Error('changes are not heard');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

beforeAll(async () => {
  for (const [name, timeZone] of [
    ['berlin', 'Europe/Berlin'],
    ['tokyo', 'Asia/Tokyo'],
    ['quiet', 'UTC'],
  ] as const)
    ids[name] = (await platforms.one.workspaces.create({ name, timeZone })).id;
  for (const name of ['berlin', 'tokyo'])
    await platforms.one.knowledge.upsertMany(
      ids[name] ?? '',
      Array.from({ length: 60 }, (_, index) => ({ sourceId: `${index}`, title: `${index}`, content: '', tags: ['t'] })),
    );
  await database.query(`UPDATE treadle.workspaces SET created_at = '2026-01-10T00:00:00Z'`);
  await database.query('DELETE FROM treadle.cache_warmings');
  await heardSoFar();
});

test('reads the latest fifty documents once, tags and the workspace, and says how far it is', async () => {
  const { warming } = service();
  const told: number[] = [];
  const id = ids['berlin'] ?? '';
  const progress = (fraction: number) => void told.push(fraction);
  expect(await warming.warmWorkspaceCache(id, { progress })).toEqual({ documents: 50, fresh: 0, tags: 1 });
  expect(told).toHaveLength(50);
  expect(told.at(-1)).toBe(1);
  const before = platforms.one.cache.getMetrics().computations;
  expect(await warming.warmWorkspaceCache(id)).toEqual({ documents: 0, fresh: 50, tags: 1 });
  expect(platforms.one.cache.getMetrics().computations).toBe(before);
  await expect(warming.warmWorkspaceCache('00000000-0000-4000-8000-000000000000')).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
});

test('reads no more than so many a second, and stops when it is told to', async () => {
  const { warming } = service(100);
  const controller = new AbortController();
  const startedAt = performance.now();
  const work = warming.warmWorkspaceCache(ids['tokyo'] ?? '', {
    signal: controller.signal,
    progress: (fraction) => {
      if (fraction >= 0.2) controller.abort();
    },
  });
  await expect(work).rejects.toMatchObject({ name: 'AbortError' });
  expect(performance.now() - startedAt).toBeGreaterThan(80);
});

test('has those warmed for which it was two in the night, by their own clocks, if somebody uses them', async () => {
  const at = async (now: string, searched: readonly string[] = []) => {
    const { warming, enqueued } = service(10_000, searched);
    await database.query(`UPDATE treadle.knowledge SET updated_at = $1::timestamptz - interval '1 day'`, [now]);
    expect(await warming.scheduleRegularWarming({ now: new Date(now) })).toBe(enqueued.length);
    return enqueued
      .map((id) => Object.keys(ids).find((name) => ids[name] === id))
      .toSorted((a, b) => String(a).localeCompare(String(b)));
  };
  const warmedAt = (time: string) =>
    database.query(
      `INSERT INTO treadle.cache_warmings (workspace_id, warmed_at) SELECT id, $1 FROM treadle.workspaces
       ON CONFLICT (workspace_id) DO UPDATE SET warmed_at = excluded.warmed_at`,
      [time],
    );
  await database.query('ALTER TABLE treadle.knowledge DISABLE TRIGGER USER');
  await warmedAt('2026-01-15T12:00:00Z');
  // Two in Tokyo is five in the afternoon before; in Berlin it is one.
  expect(await at('2026-01-15T16:59:00Z')).toEqual([]);
  expect(await at('2026-01-15T17:01:00Z')).toEqual(['tokyo']);
  expect(await at('2026-01-16T00:59:00Z')).toEqual(['tokyo']);
  expect(await at('2026-01-16T01:01:00Z')).toEqual(['berlin', 'tokyo']);
  expect(await at('2026-01-16T03:00:00Z', [ids['quiet'] ?? ''])).toEqual(['berlin', 'quiet', 'tokyo']);
  await warmedAt('2026-01-16T01:05:00Z');
  expect(await at('2026-01-16T02:30:00Z')).toEqual([]);
  // In summer two in Berlin is midnight.
  await warmedAt('2026-07-15T12:00:00Z');
  expect(await at('2026-07-15T23:59:00Z')).toEqual(['tokyo']);
  expect(await at('2026-07-16T00:01:00Z')).toEqual(['berlin', 'tokyo']);
  await database.query('ALTER TABLE treadle.knowledge ENABLE TRIGGER USER');
});
