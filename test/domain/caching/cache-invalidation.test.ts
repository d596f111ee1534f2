import { afterEach, describe, expect, test } from 'vitest';
import { CacheInvalidation } from '../../../src/domain/caching/cache-invalidation.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase } from '../../services/database.ts';
import { useCaches } from '../../lib/cache/each-cache.ts';

const log = createLog({ level: 'silent' });

describe('invalidation', () => {
  const caches = useCaches(useDatabase());
  const opened: CacheInvalidation[] = [];
  afterEach(() => {
    for (const invalidation of opened.splice(0)) invalidation.close();
  });
  const open = async () => {
    const cache = await caches.open();
    const invalidation = new CacheInvalidation({ cache, log, follow: () => Promise.resolve(() => undefined) });
    opened.push(invalidation);
    for (const key of ['product:1', 'cart:9:items', 'page:home', 'other'])
      await cache.set(key, key, { tags: [`tag of ${key}`] });
    const left = async () => [...(await cache.getBatch(['product:1', 'cart:9:items', 'page:home', 'other'])).keys()];
    return { cache, invalidation, left };
  };

  test('by tag, glob and expression', async () => {
    const { invalidation, left } = await open();
    await invalidation.invalidateByTag('tag of other');
    await invalidation.invalidateByPattern('cart:*');
    await invalidation.invalidateByPattern(/home$/);
    expect(await left()).toEqual(['product:1']);
  });

  test('of what depends on something, over any number of steps; a cycle is refused', async () => {
    const { invalidation, left } = await open();
    invalidation.registerDependency('product:1', 'cart:9:items');
    invalidation.registerDependency('cart:9:items', 'page:home');
    for (const [parent, dependent] of [
      ['page:home', 'product:1'],
      ['other', 'other'],
    ] as const)
      expect(() => invalidation.registerDependency(parent, dependent)).toThrow('would make a cycle');
    expect(Object.fromEntries(invalidation.getDependencyGraph())).toEqual({
      'product:1': ['cart:9:items'],
      'cart:9:items': ['page:home'],
    });
    await invalidation.invalidateByDependency('product:1');
    expect(await left()).toEqual(['other']);
  });

  test('by rules, when something has happened', async () => {
    const { invalidation, left } = await open();
    await invalidation.registerRule({ id: 'products', pattern: /^product:/, triggers: ['knowledge.updated'] });
    await invalidation.registerRule({ id: 'off', pattern: '*', triggers: ['knowledge.updated'], enabled: false });
    await invalidation.registerRule({ id: 'home', triggers: ['sale.began'], dependencies: ['page:home'] });
    expect(invalidation.getRules().map(({ id }) => id)).toEqual(['products', 'off', 'home']);
    await expect(invalidation.registerRule({ id: '', triggers: [] })).rejects.toThrow(/id/);
    await invalidation.handleEvent('sale.began');
    expect(await left()).toEqual(['product:1', 'cart:9:items', 'other']);
    await invalidation.handleChange({ kind: 'knowledge', workspaceId: 'w', ids: ['d'] });
    expect(await left()).toEqual(['cart:9:items', 'other']);
  });

  test('warms what it is told to, now and then', async () => {
    const { cache, invalidation } = await open();
    let runs = 0;
    const compute = async () => (runs += 1);
    await invalidation.warmCacheEntry('warm:1', compute, 60_000);
    expect(await cache.get('warm:1')).toBe(1);
    await invalidation.warmCacheEntry('warm:1', compute);
    expect(await cache.get('warm:1')).toBe(2);
    invalidation.setupCacheWarming({ enabled: true, items: [{ key: 'warm:2', compute, ttlMs: 1_000 }] });
    await expect.poll(() => cache.get('warm:2')).toBe(3);
    expect(() => invalidation.setupCacheWarming({ enabled: true, intervalMs: 1, items: [] })).toThrow(/intervalMs/);
  });
});
