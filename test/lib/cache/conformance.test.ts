import { describe, expect, test } from 'vitest';
import { describeEachCache, gate } from './each-cache.ts';

const document = () => ({
  title: 'A "title"\nwith lines',
  createdAt: new Date('2026-01-02T03:04:05.678Z'),
  versions: [{ at: new Date(0) }, { at: null }],
  vector: Float32Array.of(0.5, -1, 3),
  nothing: null,
});

const oddKeys = [
  'a key: with spaces',
  'lines\nand\ttabs',
  'b{ra}ces}{',
  'ümläut 🧵',
  '%7B',
  '*?[x]',
  'k'.repeat(10_000),
];

describeEachCache('a cache', (caches) => {
  test('gives back what was set: dates as dates, frozen, apart from the one that was given', async () => {
    const cache = await caches.open();
    const other = await caches.open();
    const given = document();
    await cache.set('document:1', given, { ttlMs: 60_000 });
    given.title = 'changed later';
    const found = await cache.get<ReturnType<typeof document>>('document:1');
    expect(found).toEqual(document());
    expect(Object.isFrozen(found?.versions[0])).toBe(true);
    expect(await other.get('document:1')).toEqual(caches.hasRedis ? document() : undefined);
    expect(await cache.get('document:2')).toBeUndefined();
  });

  test('takes any text as a key', async () => {
    const cache = await caches.open({}, 'odd {prefix}');
    const other = await caches.open({}, 'odd {prefix}');
    for (const [index, key] of oddKeys.entries()) await cache.set(key, { index }, { tags: [key.slice(0, 1_000)] });
    for (const [index, key] of oddKeys.entries()) {
      expect(await cache.get(key)).toEqual({ index });
      expect(await other.get(key)).toEqual(caches.hasRedis ? { index } : undefined);
    }
    for (const key of oddKeys) {
      await cache.invalidateByTag(key.slice(0, 1_000));
      expect(await cache.get(key)).toBeUndefined();
      await cache.set(key, 1);
      await cache.delete(key);
      expect(await cache.get(key)).toBeUndefined();
    }
  });

  test('computes what is missing once, however many ask', async () => {
    const [one, two] = [await caches.open(), await caches.open()];
    let runs = 0;
    const compute = async () => {
      runs += 1;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return { runs };
    };
    const asked = [one, two].flatMap((cache) =>
      Array.from({ length: 13 }, () => cache.getOrCompute('cold:key', compute)),
    );
    const answers = await Promise.all(asked);
    expect(runs).toBe(caches.hasRedis ? 1 : 2);
    expect(answers).toHaveLength(26);
    expect(await one.getOrCompute('cold:key', compute)).toEqual(answers[0]);
    expect(one.getMetrics()).toMatchObject({ computations: expect.any(Number), misses: expect.any(Number) });
  });

  test('forgets by key, by tag and by pattern, in all processes', async () => {
    const [one, two] = [await caches.open(), await caches.open()];
    const fill = async () => {
      for (const cache of [one, two])
        for (const id of ['1', '2', '3'])
          await cache.getOrCompute(`thing:${id}`, async () => ({ id }), { tags: ['things', `thing:${id}`] });
    };
    const known = async (cache: typeof one) => [...(await cache.getBatch(['thing:1', 'thing:2', 'thing:3'])).keys()];
    await fill();
    expect(await known(two)).toEqual(['thing:1', 'thing:2', 'thing:3']);
    await one.delete('thing:1');
    expect(await known(one)).toEqual(['thing:2', 'thing:3']);
    await expect.poll(() => known(two)).toEqual(['thing:2', 'thing:3']);
    await one.invalidateByTag('thing:2');
    expect(await known(one)).toEqual(['thing:3']);
    await expect.poll(() => known(two)).toEqual(['thing:3']);
    await fill();
    await two.invalidateByPattern('thing:[12]');
    expect(await known(two)).toHaveLength(3);
    await two.invalidateByPattern('thi?g:*');
    expect(await known(two)).toEqual([]);
    await expect.poll(() => known(one)).toEqual([]);
    await fill();
    await one.invalidateByPattern(/^thing:[12]$/);
    expect(await known(one)).toEqual(['thing:3']);
    await expect.poll(() => known(two)).toEqual(['thing:3']);
    await fill();
    await one.invalidateByTag('things');
    expect(await known(one)).toEqual([]);
    await expect.poll(() => known(two)).toEqual([]);
  });

  test('does not keep what was read before it stopped to hold', async () => {
    const [one, two] = [await caches.open(), await caches.open()];
    for (const invalidate of [
      () => one.delete('race:1'),
      () => one.invalidateByTag('races'),
      () => one.invalidateByPattern('race:*'),
      () => one.clear(),
      ...(caches.hasRedis ? [() => two.delete('race:1'), () => two.invalidateByTag('races')] : []),
    ]) {
      const [reading, finish] = [gate(), gate()];
      let source = 'old';
      const compute = async () => {
        const read = source;
        reading.open();
        await finish.opened;
        return read;
      };
      const early = one.getOrCompute('race:1', compute, { tags: ['races'] });
      await reading.opened;
      source = 'new';
      await invalidate();
      finish.open();
      expect(await early).toBe('old');
      expect(await one.getOrCompute('race:1', async () => source, { tags: ['races'] })).toBe('new');
      expect(await two.get('race:1')).toBe(caches.hasRedis ? 'new' : undefined);
      await one.delete('race:1');
    }
  });

  test('a value that is set wins over a computation that began before', async () => {
    const cache = await caches.open();
    const [reading, finish] = [gate(), gate()];
    const early = cache.getOrCompute('won:1', async () => {
      reading.open();
      await finish.opened;
      return 'computed';
    });
    await reading.opened;
    await cache.set('won:1', 'set');
    finish.open();
    await early;
    expect(await cache.get('won:1')).toBe('set');
  });

  test('many at once: getBatch and mget, setBatch and mset', async () => {
    const [one, two] = [await caches.open(), await caches.open()];
    const keys = Array.from({ length: 250 }, (_, index) => `many:${index}`);
    await one.setBatch(
      keys.map((key, index) => ({ key, value: { index }, ttlMs: 60_000 })),
      ['many'],
    );
    const reader = caches.hasRedis ? two : one;
    expect((await reader.getBatch([...keys, 'many:none'])).size).toBe(250);
    expect(await reader.mget(['many:3', 'many:none', 'many:1'])).toEqual([{ index: 3 }, undefined, { index: 1 }]);
    await one.invalidateByTag('many');
    expect((await one.getBatch(keys)).size).toBe(0);
    await one.mset([
      { key: 'x', value: 1 },
      { key: 'y', value: null },
    ]);
    expect(await one.mget(['x', 'y'])).toEqual([1, null]);
  });

  test('counts and collects for all processes', async () => {
    const [one, two] = [await caches.open(), await caches.open()];
    const sums = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? one : two).increment('views:1')),
    );
    expect(sums.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(await one.increment('views:1', -25)).toBe(-5);
    expect(await two.get('views:1')).toBe(-5);
    expect(await two.mget(['views:1', 'views:2'])).toEqual([-5, undefined]);
    expect(await one.addToSet('visitors:1', ['mia', 'ben', 'mia'])).toBe(2);
    expect(await two.addToSet('visitors:1', ['ben', 'zoë\0'])).toBe(1);
    expect((await one.getSet('visitors:1')).toSorted()).toEqual(['ben', 'mia', 'zoë\0']);
    await one.delete('views:1');
    await one.delete('visitors:1');
    expect(await two.get('views:1')).toBeUndefined();
    expect(await two.getSet('visitors:1')).toEqual([]);
    await one.increment('short:1', 1, { ttlMs: 50 });
    await one.addToSet('short:1', ['a'], { ttlMs: 50 });
    await expect.poll(() => one.get('short:1')).toBeUndefined();
    await expect.poll(() => one.getSet('short:1')).toEqual([]);
    expect(await one.increment('short:1')).toBe(1);
    expect(await one.addToSet('short:1', ['a'])).toBe(1);
  });

  test('remembers for a while that there is nothing', async () => {
    const cache = await caches.open({ negativeTtlMs: 100, jitter: 0 });
    let runs = 0;
    const compute = async () => {
      runs += 1;
      return runs > 1 ? 'there' : undefined;
    };
    expect(await cache.getOrCompute('absent:1', compute)).toBeUndefined();
    expect(await cache.getOrCompute('absent:1', compute)).toBeUndefined();
    expect(runs).toBe(1);
    await expect.poll(() => cache.getOrCompute('absent:1', compute)).toBe('there');
    const never = async () => null;
    await cache.getOrCompute('absent:2', never, { negativeTtlMs: 0 });
    expect(await cache.get('absent:2')).toBeUndefined();
  });
});

describe('what can be no key or value', () => {
  describeEachCache('is refused', (caches) => {
    test('with what is wrong with it', async () => {
      const cache = await caches.open();
      const refused = async (work: () => Promise<unknown>) => {
        const error: unknown = await work().catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: 'VALIDATION_ERROR' });
      };
      const circular: Record<string, unknown> = {};
      circular['self'] = circular;
      for (const value of [
        circular,
        1n,
        () => 1,
        Number.NaN,
        new Map(),
        [undefined],
        { at: new Date('x') },
        Symbol('s'),
      ])
        await refused(() => cache.set('bad:value', value));
      for (const key of ['', 'x'.repeat(20_000), '\ud800']) await refused(() => cache.set(key, 1));
      for (const ttlMs of [-1, 0, 1.5, Number.NaN, 1e15]) {
        await refused(() => cache.set('bad:ttl', 1, { ttlMs }));
        await refused(() => cache.getOrCompute('bad:ttl', async () => 1, { ttlMs }));
        await refused(() => cache.increment('bad:ttl', 1, { ttlMs }));
      }
      await refused(() => cache.increment('bad:by', 0.5));
      await refused(() => cache.invalidateByPattern(''));
      await cache.set('bad:counter', { a: 1 });
      if (caches.hasRedis) await refused(() => cache.increment('bad:counter'));
      expect(await cache.get('bad:value')).toBeUndefined();
      // A source's answer that can't be kept is an answer still.
      expect(await cache.getOrCompute('bad:computed', async () => 1n)).toBe(1n);
      expect(cache.getMetrics().unserialisable).toBe(1);
    });
  });
});
