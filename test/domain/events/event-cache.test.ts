import { describe, expect, test } from 'vitest';
import { DomainEvent } from '../../../src/domain/events/domain-event.ts';
import { EventCache, StorageMode, type EventCacheOptions } from '../../../src/domain/events/event-cache.ts';
import { MemoryEventStorage } from './memory-event-storage.ts';

const eventOf = (aggregateId = 'a'): DomainEvent => DomainEvent.create({ type: 'test.happened', aggregateId });
const away = (): Promise<never> => Promise.reject(new Error('away'));
const failing = (): MemoryEventStorage =>
  Object.assign(new MemoryEventStorage(), { saveBatch: away, load: away, query: away, delete: away });
const open = (options: EventCacheOptions = {}): { cache: EventCache; wait: (ms: number) => void } => {
  let nowMs = 0;
  const wait = (ms: number): void => {
    nowMs += ms;
  };
  return { cache: new EventCache({ now: () => nowMs, ...options }), wait };
};

describe('in memory', () => {
  test('an event is there for its time, and the least recently used makes room', async () => {
    const { cache, wait } = open({ maxSize: 2, ttlMs: 1_000 });
    const [a, b, c] = [eventOf(), eventOf(), eventOf()];
    await cache.addBatch([a, b]);
    expect(await cache.get(a.id)).toBe(a);
    await cache.add(c);
    expect([await cache.get(a.id), await cache.get(b.id), await cache.get(c.id)]).toEqual([a, null, c]);
    wait(1_000);
    expect(await cache.get(a.id)).toBeNull();
    expect(cache.getStats()).toEqual({
      mode: 'memory',
      size: 0,
      maxSize: 2,
      hits: 3,
      misses: 2,
      hitRate: 0.6,
      evictions: 1,
      expirations: 2,
      storageErrors: 0,
    });
  });

  test('defaults are 1,000 events and five minutes', async () => {
    const { cache, wait } = open();
    const events = Array.from({ length: 1_001 }, () => eventOf());
    await cache.addBatch(events);
    expect(cache.getStats().size).toBe(1_000);
    wait(299_999);
    expect(await cache.get(events[1]?.id ?? '')).toBe(events[1]);
    wait(1);
    expect(await cache.get(events[2]?.id ?? '')).toBeNull();
  });

  test('it answers queries from what it has', async () => {
    const { cache, wait } = open({ ttlMs: 10 });
    const old = eventOf('a');
    await cache.add(old);
    wait(5);
    const [a, b] = [eventOf('a'), eventOf('b')];
    await cache.addBatch([a, b]);
    expect(new Set(await cache.query({ aggregateId: 'a' }))).toEqual(new Set([a, old]));
    wait(5);
    expect(await cache.query({ aggregateId: 'a' })).toEqual([a]);
    expect([await cache.remove(a.id), await cache.remove(a.id)]).toEqual([true, false]);
    cache.clear();
    expect(await cache.query({})).toEqual([]);
  });
});

describe('written through', () => {
  const mode = StorageMode.WRITE_THROUGH;

  test('an event is in both, and memory is filled from the storage', async () => {
    const storage = new MemoryEventStorage();
    const { cache } = open({ mode, storage });
    const [event, stored] = [eventOf(), eventOf()];
    await cache.add(event);
    expect(await storage.load(event.id)).toBe(event);
    await storage.save(stored);
    expect([await cache.get(stored.id), await cache.get(stored.id)]).toEqual([stored, stored]);
    expect(cache.getStats()).toMatchObject({ hits: 1, misses: 1, size: 2 });
    expect(await cache.query({})).toHaveLength(2);
    await cache.remove(stored.id);
    expect([await cache.get(stored.id), await storage.load(stored.id)]).toEqual([null, null]);
  });

  test('memory stands in for a storage that fails', async () => {
    const { cache } = open({ mode, storage: failing() });
    const event = eventOf();
    await cache.add(event);
    expect([await cache.get(event.id), await cache.query({}), await cache.get('x')]).toEqual([event, [event], null]);
    expect(await cache.remove(event.id)).toBe(true);
    expect(cache.getStats().storageErrors).toBe(4);
  });

  test('without fallback a failure is thrown, and nothing is kept of what was not saved', async () => {
    const { cache } = open({ mode, storage: failing(), fallbackToCache: false });
    const event = eventOf();
    for (const work of [
      () => cache.add(event),
      () => cache.get(event.id),
      () => cache.query({}),
      () => cache.remove('x'),
    ])
      await expect(work()).rejects.toThrow('away');
    expect(cache.getStats()).toMatchObject({ size: 0, storageErrors: 4 });
  });

  test('what was read before a removal is not kept after it', async () => {
    const event = eventOf();
    const { promise, resolve } = Promise.withResolvers<DomainEvent>();
    const storage = Object.assign(new MemoryEventStorage(), { load: () => promise });
    const { cache } = open({ mode, storage });
    const read = cache.get(event.id);
    await cache.remove(event.id);
    resolve(event);
    await read;
    expect(cache.getStats().size).toBe(0);
  });
});

test('with the storage only, nothing is in memory, and its failures are thrown', async () => {
  const storage = new MemoryEventStorage();
  const { cache } = open({ mode: StorageMode.STORAGE_ONLY, storage });
  const event = eventOf();
  await cache.add(event);
  expect(await cache.get(event.id)).toBe(event);
  await storage.delete(event.id);
  expect(await cache.get(event.id)).toBeNull();
  expect(cache.getStats()).toMatchObject({ size: 0, hits: 0, misses: 2 });
  await expect(open({ mode: StorageMode.STORAGE_ONLY, storage: failing() }).cache.add(event)).rejects.toThrow('away');
});

test.each<[EventCacheOptions, string]>([
  [{ maxSize: -1 }, 'maxSize'],
  [{ ttlMs: Number.NaN }, 'ttlMs'],
  [{ ttlMs: 1e300 }, 'ttlMs'],
  [{ mode: StorageMode.WRITE_THROUGH }, 'storage'],
])('refuses %j', (options, path) => {
  expect(() => new EventCache(options)).toThrow(`${path}:`);
});
