import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CacheManager } from '../../../src/lib/cache/cache-manager.ts';
import { CACHE_PRESETS } from '../../../src/lib/cache/cache-presets.ts';
import { useDatabase } from '../../services/database.ts';
import { describeWithRedis, useRedis } from '../../services/redis.ts';
import { TcpProxy } from '../../services/tcp-proxy.ts';
import { gate, useCaches } from './each-cache.ts';

const failing = (): Promise<never> => Promise.reject(new Error('the source is down'));

describe('a source that is slow or down', () => {
  const caches = useCaches(useDatabase());

  test('is answered for with what was known, inside the grace and not longer', async () => {
    const cache = await caches.open({ jitter: 0 });
    const options = { ttlMs: 50, graceMs: 400 };
    await cache.getOrCompute('grace:1', async () => 'known', options);
    await expect.poll(() => cache.get('grace:1')).toBeUndefined();
    expect(await cache.getOrCompute('grace:1', failing, options)).toBe('known');
    expect(cache.getMetrics().staleHits).toBe(1);
    const outcome = () => cache.getOrCompute('grace:1', failing, options).catch((error: Error) => error.message);
    await expect.poll(outcome).toBe('the source is down');
    await cache.getOrCompute('grace:2', async () => 'known', options);
    await expect.poll(() => cache.get('grace:2')).toBeUndefined();
    await cache.delete('grace:2');
    await expect(cache.getOrCompute('grace:2', failing, options)).rejects.toThrow('the source is down');
  });

  test('makes nobody wait: a stale value at once, after a soft time-out, or an error after a hard one', async () => {
    const cache = await caches.open({ jitter: 0 });
    const life = { ttlMs: 30, graceMs: 60_000 };
    const after = { ...life, ttlMs: 60_000 };
    for (const [key, options] of [
      ['at-once', { ...after, staleWhileRevalidate: true }],
      ['softly', { ...after, softTimeoutMs: 20 }],
      ['hard', { ...after, hardTimeoutMs: 20 }],
    ] as const) {
      const finish = gate();
      await cache.getOrCompute(key, async () => 'old', life);
      await expect.poll(() => cache.get(key)).toBeUndefined();
      const slow = async () => {
        await finish.opened;
        return 'new';
      };
      expect(await cache.getOrCompute(key, slow, options)).toBe('old');
      finish.open();
      await expect.poll(() => cache.get(key), { interval: 5 }).toBe('new');
    }
    const never = gate();
    const waiting = cache.getOrCompute('never', () => never.opened, { hardTimeoutMs: 20 });
    await expect(waiting).rejects.toMatchObject({ code: 'TIMEOUT' });
    never.open();
  });

  test('is asked ahead for what is used and ends soon', async () => {
    const cache = await caches.open({ jitter: 0 });
    let runs = 0;
    const compute = async () => {
      runs += 1;
      return runs;
    };
    const options = { ttlMs: 60_000, refreshAhead: 0.000_1 };
    expect(await cache.getOrCompute('ahead:1', compute, options)).toBe(1);
    await expect.poll(() => cache.getOrCompute('ahead:1', compute, options)).toBeGreaterThan(1);
  });

  test('is written through, or behind: the last value of a key, until it succeeds', async () => {
    const cache = await caches.open();
    const written: unknown[] = [];
    const persist = async (value: unknown) => void written.push(value);
    await cache.writeThrough('w:1', 'through', persist);
    expect(written.splice(0)).toEqual(['through']);
    await expect(cache.writeThrough('w:2', 'lost', failing)).rejects.toThrow('down');
    expect(await cache.get('w:2')).toBeUndefined();
    let isDown = true;
    for (const value of [1, 2, 3])
      await cache.writeBehind('w:3', value, (last) => (isDown ? failing() : persist(last)));
    expect(await cache.get('w:3')).toBe(3);
    await cache.flushWrites();
    expect(cache.getMetrics().writesBehind).toBe(1);
    isDown = false;
    await cache.flushWrites();
    expect(written).toEqual([3]);
    expect(cache.getMetrics().writesBehind).toBe(0);
  });

  test('a pattern that backtracks without end is refused, soon', async () => {
    const cache = await caches.open();
    await cache.set(`p:${'a'.repeat(40)}`, 1);
    const startedAt = performance.now();
    await expect(cache.invalidateByPattern(/^p:(a+)+b$/)).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await cache.set('p:*x', 1);
    await cache.invalidateByPattern(`p:${'*a'.repeat(400)}b`);
    await cache.invalidateByPattern('p:\\*?');
    expect(await cache.get('p:*x')).toBeUndefined();
  });

  test('presets; what needs a Redis says that there is none', async () => {
    const cache = await caches.open(CACHE_PRESETS.MEMORY_ONLY);
    expect(cache.getMetrics().redis).toBeUndefined();
    await expect(cache.initialize(CACHE_PRESETS.DISTRIBUTED)).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      details: { faults: [{ variable: 'REDIS_CACHE_URL' }] },
    });
    await expect(cache.initialize({ ttlMs: -1 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    await cache.set('still:1', 1);
    expect(await cache.get('still:1')).toBe(1);
  });

  test('memory is bounded: what was used least goes first', async () => {
    const cache = await caches.open({ maxEntries: 3, maxBytes: 1_000 });
    for (const key of ['a', 'b', 'c']) await cache.set(key, key);
    await cache.get('a');
    await cache.set('d', 'd');
    expect(await cache.mget(['a', 'b', 'c', 'd'])).toEqual(['a', undefined, 'c', 'd']);
    await cache.set('e', 'x'.repeat(996));
    expect(cache.getLocalCacheStats()).toMatchObject({ entries: 1, evictions: 4 });
    await cache.set('f', 'x'.repeat(2_000));
    expect(await cache.get('f')).toBeUndefined();
  });
});

describeWithRedis('a Redis that is dead, slow, emptied, or holds something else', () => {
  const database = useDatabase();
  const redis = useRedis();
  const direct = useCaches(database, redis);
  let proxy: TcpProxy;
  let close: () => Promise<void>;
  beforeEach(async () => {
    proxy = new TcpProxy(redis.url);
    await proxy.open();
    close = () => proxy.close();
  });
  afterEach(() => close());
  const throughProxy = useCaches(database, {
    get url() {
      return proxy.url;
    },
  });
  const fast = { redisTimeoutMs: 50, leaseMs: 300 } as const;
  const readAll = async (cache: CacheManager): Promise<void> => {
    expect(await cache.get('f:none')).toBeUndefined();
    expect((await cache.getBatch(['f:none', 'f:1'])).get('f:none')).toBeUndefined();
    expect(await cache.getOrCompute(`f:${performance.now()}`, async () => 1, { tags: ['f'] })).toBe(1);
    await cache.set('f:1', 'kept in memory', { tags: ['f'] });
    expect(await cache.get('f:1')).toBe('kept in memory');
    await cache.invalidateByTag('f');
    await cache.invalidateByPattern('f:*');
    expect(await cache.get('f:1')).toBeUndefined();
  };

  test('dead: misses and a count, never an error; what it was not told it is told when it is back', async () => {
    const cache = await throughProxy.open(fast);
    const other = await direct.open(fast);
    await other.set('dead:1', 'old', { tags: ['dead'] });
    expect(await cache.get('dead:1')).toBe('old');
    await proxy.close();
    await expect.poll(() => cache.getMetrics().bus?.hears).toBe(false);
    await readAll(cache);
    expect(await cache.invalidateByTag('dead')).toBe(false);
    expect(await cache.get('dead:1')).toBeUndefined();
    expect(cache.getMetrics().redis).toMatchObject({ missedInvalidations: expect.any(Number) });
    await expect(cache.increment('dead:count')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    await proxy.open();
    await expect.poll(() => cache.getMetrics().redis?.missedInvalidations, { timeout: 10_000 }).toBe(0);
    expect(await cache.get('dead:1')).toBeUndefined();
    expect(await redis.client.exists('{treadle:cache:test:k:dead:1}')).toBe(0);
    await cache.set('dead:2', 1);
    await expect.poll(() => other.get('dead:2')).toBe(1);
  });

  test('slow: nobody waits longer than the time-out', async () => {
    const cache = await throughProxy.open(fast);
    await cache.set('slow:1', 1);
    proxy.freeze();
    const startedAt = performance.now();
    await cache.get('slow:2');
    await cache.getOrCompute('slow:3', async () => 1);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(cache.getMetrics().redis?.timeouts).toBeGreaterThan(0);
    proxy.thaw();
  });

  test('frozen: writes and invalidations end, the first after a while, and counters say so', async () => {
    const cache = await throughProxy.open(fast);
    await cache.set('frozen:1', 1);
    proxy.freeze();
    await cache.set('frozen:1', 2);
    expect(await cache.invalidateByTag('frozen')).toBe(false);
    const startedAt = performance.now();
    for (let turn = 0; turn < 10; turn += 1) await cache.delete(`frozen:${turn}`);
    // Nobody waits any more: it is known by now.
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await expect(cache.increment('frozen:count')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    await expect(cache.addToSet('frozen:set', ['a'])).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    proxy.thaw();
    await expect.poll(() => cache.getMetrics().redis?.missedInvalidations, { timeout: 20_000 }).toBe(0);
  });

  test('emptied: misses, and it fills again', async () => {
    const cache = await direct.open({ layers: 'redis' });
    await cache.set('flushed:1', 1, { tags: ['flushed'] });
    await redis.client.flushdb();
    expect(await cache.get('flushed:1')).toBeUndefined();
    const reading = gate();
    const early = cache.getOrCompute('flushed:2', async () => {
      await redis.client.flushdb();
      reading.open();
      return 'read before';
    });
    expect(await early).toBe('read before');
    // Whether it was invalidated meanwhile Redis no longer knows: it is not kept.
    expect(await cache.get('flushed:2')).toBeUndefined();
    expect(await cache.getOrCompute('flushed:2', async () => 'again')).toBe('again');
    expect(await cache.get('flushed:2')).toBe('again');
  });

  test('damaged or foreign: a miss, counted', async () => {
    const cache = await direct.open({ compressAboveBytes: 100 });
    const name = (key: string) => `{treadle:cache:test:k:${key}}`;
    await cache.set('bad:long', 'x'.repeat(10_000));
    expect(await redis.client.strlen(name('bad:long'))).toBeLessThan(200);
    const text = await redis.client.get(name('bad:long'));
    const others = {
      'bad:text': 'hello',
      'bad:json': '{"v":1}',
      'bad:half': '$1,1,9999999999999,0,0;{"a":',
      'bad:empty': '',
    };
    for (const [key, value] of Object.entries(others)) await redis.client.set(name(key), value, 'EX', 60);
    await redis.client.set(name('bad:zstd'), text?.slice(0, 20) ?? '', 'EX', 60);
    await redis.client.set(
      name('bad:date'),
      `$1,${Date.now()},9999999,0,35;${'{"t":[],"p":[["d","__proto__"]]}'.padEnd(35)}{}`,
      'EX',
      60,
    );
    await redis.client.lpush(name('bad:list'), 'x');
    await redis.client.expire(name('bad:list'), 60);
    const keys = ['bad:text', 'bad:json', 'bad:half', 'bad:empty', 'bad:zstd', 'bad:date', 'bad:list'];
    expect((await cache.getBatch(keys)).size).toBe(0);
    for (const key of keys) expect(await cache.get(key)).toBeUndefined();
    expect(cache.getMetrics().redis).toMatchObject({ corrupted: expect.any(Number), errors: 0 });
    expect(cache.getMetrics().redis?.corrupted).toBeGreaterThanOrEqual(2 * keys.length - 1);
    for (const key of keys.slice(0, 6)) expect(await cache.getOrCompute(key, async () => 'mended')).toBe('mended');
    for (const key of keys.slice(0, 6)) expect(await cache.get(key)).toBe('mended');
  });

  test('a process that dies while it computes is replaced when its lease ends', async () => {
    const cache = await direct.open({ leaseMs: 200 });
    await redis.client.set('{treadle:cache:test:k:lease:1}:c', 'somebody who is gone', 'PX', 200);
    const startedAt = performance.now();
    expect(await cache.getOrCompute('lease:1', async () => 'mine')).toBe('mine');
    expect(performance.now() - startedAt).toBeGreaterThan(100);
  });

  test('messages that were lost are noticed: memory is forgotten', async () => {
    const cache = await throughProxy.open(fast);
    const other = await direct.open(fast);
    await other.set('lost:1', 'old');
    expect(await cache.get('lost:1')).toBe('old');
    await proxy.close();
    await other.set('lost:1', 'new');
    await proxy.open();
    await expect.poll(() => cache.get('lost:1'), { timeout: 10_000 }).toBe('new');
    await expect.poll(() => cache.getMetrics().bus?.hears, { timeout: 10_000 }).toBe(true);
    expect(cache.getMetrics().bus?.gaps).toBeGreaterThan(0);
    await other.set('lost:1', 'newest');
    await expect.poll(() => cache.get('lost:1')).toBe('newest');
  });

  test('a gap in the numbers of another process is noticed', async () => {
    const cache = await direct.open();
    await cache.set('gap:1', 'in memory');
    const say = (seq: number) =>
      redis.client.publish('{treadle:cache:test}', JSON.stringify({ from: 'somebody', seq, gone: [{ keys: ['x'] }] }));
    await say(1);
    await say(2);
    await redis.client.del('{treadle:cache:test:k:gap:1}');
    expect(await cache.get('gap:1')).toBe('in memory');
    await say(4);
    await expect.poll(() => cache.get('gap:1')).toBeUndefined();
    expect(cache.getMetrics().bus?.gaps).toBe(1);
  });
});
