import type { CacheSerializer, CreateDriverResult, L1CacheDriver, L2CacheDriver } from 'bentocache/types';
import type { CacheLayers, NewEntry } from './cache-layers.ts';
import type { LocalEntry } from './local-store.ts';

/** What bentocache hands to its drivers when nothing is made into text: its own fields around ours. */
interface Item {
  readonly value: LocalEntry | ComputedEntry;
  readonly createdAt: number;
  readonly logicalExpiration: number;
}

/** With the claim it was computed under; undefined: Redis was away. */
export interface ComputedEntry extends NewEntry {
  readonly token: string | undefined;
}

/** The seam: drivers are typed for text, and pass on whatever the serializer makes, which here is the item itself. */
const asText = (item: Item | undefined): string | undefined => item as unknown as string | undefined;
const asItem = (text: unknown): Item => text as Item;

/** Leaves items as they are: Redis is given what its own codec makes of them. */
export const passThrough: CacheSerializer = {
  serialize: (item: unknown) => item as string,
  deserialize: (item: unknown) => item,
};

const itemOf = (entry: LocalEntry): Item => ({
  value: entry,
  createdAt: entry.createdAt,
  logicalExpiration: entry.expiresAt,
});

const isComputed = (entry: LocalEntry | ComputedEntry): entry is ComputedEntry => 'token' in entry;

const memoryDriver = ({ memory }: CacheLayers): L1CacheDriver => {
  const driver: L1CacheDriver = {
    type: 'l1',
    namespace: () => driver,
    get: (key) => {
      const entry = memory.get(key);
      return asText(entry && itemOf(entry));
    },
    pull: () => undefined,
    set: (key, text) => {
      const { value: entry, logicalExpiration } = asItem(text);
      // Of a stale value that answers for its source once more, the end of its grace stays where it was.
      if (entry.isCounter) return true;
      return memory.keep(key, { ...entry, expiresAt: Math.min(logicalExpiration, entry.diesAt) });
    },
    getRemainingTtl: (key) => {
      const entry = memory.get(key);
      return entry && entry.diesAt - Date.now();
    },
    delete: (key) => {
      memory.forget(key);
      return true;
    },
    deleteMany: (keys) => {
      for (const key of keys) memory.forget(key);
      return true;
    },
    clear: () => memory.apply({ all: true }),
    disconnect: () => undefined,
  };
  return driver;
};

const redisDriver = (layers: CacheLayers, fetched: WeakSet<object>): L2CacheDriver => {
  const { memory, redis, counts } = layers;
  const driver: L2CacheDriver = {
    type: 'l2',
    namespace: () => driver,
    get: async (key) => {
      const since = memory.log.now;
      const entry = await redis?.layer?.get(key, since);
      if (!entry) return undefined;
      fetched.add(entry);
      return asText(itemOf(entry));
    },
    pull: () => Promise.resolve(undefined),
    set: async (key, text) => {
      const { value: entry } = asItem(text);
      if (!isComputed(entry) || entry.token === undefined) return false;
      const stored = await redis?.layer?.storeClaimed(key, entry.token, entry);
      if (stored === true) return true;
      // Somebody elsewhere said that it no longer holds; or nobody can know.
      memory.drop(key, entry.value);
      counts.outdated += 1;
      return false;
    },
    delete: () => Promise.resolve(false),
    deleteMany: () => Promise.resolve(false),
    clear: () => Promise.resolve(),
    disconnect: () => Promise.resolve(),
  };
  return driver;
};

/** The memory of the cache, as a layer of bentocache. */
export const memoryLayerOf = (layers: CacheLayers): CreateDriverResult<L1CacheDriver> => ({
  options: { serialize: false },
  factory: () => memoryDriver(layers),
});

/** Redis, as a layer of bentocache. What it brings from there is noted in `fetched`. */
export const redisLayerOf = (layers: CacheLayers, fetched: WeakSet<object>): CreateDriverResult<L2CacheDriver> => ({
  options: {},
  factory: () => redisDriver(layers, fetched),
});
