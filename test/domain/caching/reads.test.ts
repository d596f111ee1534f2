import { beforeAll, describe, expect, test } from 'vitest';
import type { Platform } from '../../../src/platform.ts';
import { useDatabase } from '../../services/database.ts';
import { describeWithRedis, useRedis } from '../../services/redis.ts';
import { usePlatforms } from './platforms.ts';

const suite = (redis?: { readonly url: string }): void => {
  const database = useDatabase();
  const platforms = usePlatforms(database, redis);
  let ws = '';
  beforeAll(async () => {
    ws = (await platforms.one.workspaces.create({ name: 'w', timeZone: 'Europe/Berlin' })).id;
  });
  const both = () => [platforms.one, platforms.two];
  /** Reads of Postgres by the statement that reads documents. */
  const computations = (platform: Platform) => platform.cache.getMetrics().computations;

  test('a document is read once, and never older than what its process wrote', async () => {
    const { one, two } = platforms;
    const { id, createdAt } = await one.knowledge.create(ws, { title: 'One', content: 'text', tags: ['a'] });
    const first = await one.knowledge.findById(ws, id);
    expect(first).toMatchObject({ title: 'One', version: 1, createdAt });
    // What tells of the change comes a moment after it.
    const isKept = async () => (await one.knowledge.findById(ws, id)) === (await one.knowledge.findById(ws, id));
    await expect.poll(isKept).toBe(true);
    const before = computations(one);
    expect(await one.knowledge.findById(ws, id)).toEqual(first);
    expect(computations(one)).toBe(before);
    await two.knowledge.findById(ws, id);
    const updated = await one.knowledge.update(ws, id, { title: 'Two' }, { expectedVersion: 1 });
    expect(await one.knowledge.findById(ws, id)).toEqual(updated);
    await expect.poll(() => two.knowledge.findById(ws, id)).toEqual(updated);
    await expect(two.knowledge.update(ws, id, { title: 'x' }, { expectedVersion: 1 })).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
    });
    expect(await one.knowledge.findById('00000000-0000-4000-8000-000000000000', id)).toBeUndefined();
    await two.knowledge.delete(ws, id);
    expect(await two.knowledge.findById(ws, id)).toBeUndefined();
    await expect.poll(() => one.knowledge.findById(ws, id)).toBeUndefined();
  });

  test('lists, counts, popular tags and searches follow every change, plain SQL too', async () => {
    const { one, two } = platforms;
    const look = async (platform: Platform) => ({
      latest: (await platform.knowledge.findByWorkspace(ws)).items.map(({ title }) => title),
      drafts: (await platform.knowledge.findMany(ws, { status: 'draft' })).length,
      count: await platform.knowledge.count(ws),
      popular: (await platform.tags.popular(ws)).map(({ name, documents }) => `${name} ${documents}`),
      found: (await platform.search.search({ workspaceId: ws, query: 'needle', mode: 'keyword' })).total,
      workspace: (await platform.workspaces.findById(ws))?.timeZone,
    });
    const empty = { latest: [], drafts: 0, count: 0, popular: [], found: 0, workspace: 'Europe/Berlin' };
    for (const platform of both()) expect(await look(platform)).toEqual(empty);
    const { id } = await one.knowledge.create(ws, { title: 'A needle', content: 'x', tags: ['sewing'] });
    const withOne = {
      ...empty,
      latest: ['A needle'],
      drafts: 1,
      count: 1,
      popular: ['sewing 1'],
      found: 1,
    };
    expect(await look(one)).toEqual(withOne);
    await expect.poll(() => look(two)).toEqual(withOne);
    await database.query(`UPDATE treadle.knowledge SET title = 'No longer', status = 'published' WHERE id = $1`, [id]);
    await database.query(`UPDATE treadle.tags SET name = 'yarn' WHERE name = 'sewing' AND workspace_id = $1`, [ws]);
    await database.query(`UPDATE treadle.workspaces SET time_zone = 'UTC' WHERE id = $1`, [ws]);
    const bySql = { ...empty, latest: ['No longer'], count: 1, popular: ['yarn 1'], workspace: 'UTC' };
    for (const platform of both()) await expect.poll(() => look(platform)).toEqual(bySql);
    expect((await one.knowledge.findById(ws, id))?.tags).toEqual(['yarn']);
    const yarn = (await two.tags.popular(ws)).find(({ name }) => name === 'yarn');
    await two.tags.update(ws, yarn?.id ?? '', { name: 'wool' });
    expect((await two.knowledge.findById(ws, id))?.tags).toEqual(['wool']);
    await expect.poll(async () => (await one.knowledge.findById(ws, id))?.tags).toEqual(['wool']);
    await database.query('TRUNCATE treadle.knowledge CASCADE');
    for (const platform of both()) await expect.poll(async () => (await look(platform)).latest).toEqual([]);
  });

  test('a search is answered from the cache by whoever asks the same, under an id of its own', async () => {
    const { one } = platforms;
    await one.knowledge.create(ws, { title: 'Cached search', content: 'x' });
    const ask = () => one.search.search({ workspaceId: ws, query: 'cached', filters: { status: ['draft'] } });
    const isKept = async () => (await ask()).hits === (await ask()).hits;
    await expect.poll(isKept).toBe(true);
    const [first, before] = [await ask(), computations(one)];
    const second = await ask();
    expect(computations(one)).toBe(before);
    expect(second.hits).toEqual(first.hits);
    expect(second.searchId).not.toBe(first.searchId);
    await one.search.search({ workspaceId: ws, query: 'cached' });
    expect(computations(one)).toBeGreaterThan(before);
    const other = await one.search.search(
      { workspaceId: ws, query: 'cached', filters: { status: ['draft'] } },
      { permissions: ['team:b'] },
    );
    expect(other.hits).toEqual(first.hits);
    const parts = { workspaceId: ws, query: 'q', mode: 'keyword', filters: {}, permissions: ['b', 'a'] };
    await one.workspaceCache.cacheSearchResults(parts, { total: 3 });
    const same = { ...parts, permissions: ['a', 'b'] };
    expect(await one.workspaceCache.getCachedSearchResults(same)).toEqual({ total: 3 });
    expect(await one.workspaceCache.getCachedSearchResults({ ...parts, permissions: [] })).toBeUndefined();
  });

  test('a rule hears of events of an own, in every process that has it', async () => {
    const { one, two } = platforms;
    for (const { cacheInvalidation } of both())
      await cacheInvalidation.registerRule({ id: 'orders', pattern: 'order-report:*', triggers: ['order.paid'] });
    for (const { cache } of both()) await cache.set('order-report:1', 'old');
    await two.events.publish({ type: 'order.paid', aggregateId: '1' });
    // Events are told once no older transaction of the server is open, of other files neither.
    for (const { cache } of both())
      await expect.poll(() => cache.get('order-report:1'), { timeout: 20_000 }).toBeUndefined();
    expect(one.cacheInvalidation.getRules()).toHaveLength(1);
  });

  test('hit rates are on /metrics, by entity', async () => {
    const lines = (await platforms.one.meter.expose()).split('\n').filter((line) => line.startsWith('treadle_cache_'));
    const valueOf = (start: string) =>
      Number(
        lines
          .find((line) => line.startsWith(start))
          ?.split(' ')
          .at(-1),
      );
    expect(valueOf('treadle_cache_reads_total{entity="knowledge",outcome="memory"}')).toBeGreaterThan(0);
    expect(valueOf('treadle_cache_hit_rate{entity="search"}')).toBeGreaterThan(0);
  });
};

describe('reads through the cache, in memory', () => {
  suite();
});

describeWithRedis('reads through the cache, with Redis', () => {
  suite(useRedis());
});
