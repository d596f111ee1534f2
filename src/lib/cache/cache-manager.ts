import { AppError, validationError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import type { Metric } from '../telemetry/metric-text.ts';
import type { BusCounts } from './bus/bus-member.ts';
import { checkKey } from './cache-text.ts';
import { CacheCounts } from './cache-metrics.ts';
import type { CacheLayers, InvalidateOptions } from './cache-layers.ts';
import {
  checkSetOptions,
  readSettings,
  readTtl,
  type CacheSettings,
  type CacheSettingsInput,
} from './cache-settings.ts';
import type { ComputeOptions, SetOptions } from './cache-settings.ts';
import { ComputeEngine } from './compute-engine.ts';
import type { Counters } from './counters.ts';
import { DelayedWrites } from './delayed-writes.ts';
import type { Invalidation } from './invalidation.ts';
import { readPattern } from './key-pattern.ts';
import type { LocalStats } from './local-store.ts';
import { Unserialisable } from './value-codec.ts';

/** What a manager keeps things in, for given settings. */
export interface CacheStores {
  readonly layers: CacheLayers;
  readonly counters: Counters;
  /** Of the bus; undefined where there is none. */
  readonly bus: () => BusCounts | undefined;
  /** Resolves when it hears other processes, or after two seconds. */
  readonly opened: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface CacheManagerParts {
  /** @throws AppError CONFIGURATION_ERROR for settings that need a Redis that there is not. */
  readonly open: (settings: CacheSettings, counts: CacheCounts) => CacheStores;
  readonly log: Log;
}

export interface BatchEntry {
  readonly key: string;
  readonly value: unknown;
  readonly ttlMs?: number;
}

export interface CacheMetrics {
  readonly hits: number;
  readonly misses: number;
  /** 0 to 1. */
  readonly hitRate: number;
  readonly memoryHits: number;
  readonly redisHits: number;
  /** Answered although they had expired: within their grace. */
  readonly staleHits: number;
  readonly sets: number;
  readonly computations: number;
  /** Computations that another process did while this one waited. */
  readonly sharedComputations: number;
  readonly invalidations: number;
  /** Not kept, because they stopped to hold while they were read. */
  readonly outdated: number;
  readonly unserialisable: number;
  /** Of an entry in memory, in bytes. */
  readonly averageSize: number;
  /** Writes behind that are still to be done. */
  readonly writesBehind: number;
  readonly redis:
    | {
        readonly errors: number;
        readonly timeouts: number;
        readonly skipped: number;
        /** Values that nobody here wrote, or that are damaged. */
        readonly corrupted: number;
        /** Invalidations that Redis has yet to be told. */
        readonly missedInvalidations: number;
      }
    | undefined;
  readonly bus: BusCounts | undefined;
}

const largestSet = 100_000;
const mostMembers = 10_000;
const longestMember = 100_000;
const keysAtOnce = 100;
const noOptions = Object.freeze({});

const isNoMember = (member: unknown): boolean =>
  typeof member !== 'string' || member.length > longestMember || !member.isWellFormed();

const wholeNumber = (path: string): AppError =>
  validationError('the cache', [{ path, message: 'must be a whole number' }]);

const asFault = (error: unknown): unknown =>
  error instanceof Unserialisable
    ? validationError('the cache', [{ path: error.path ? `value.${error.path}` : 'value', message: error.message }])
    : error;

const chunksOf = <T>(items: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));

/**
 * A cache in memory and in Redis. Redis that is dead, slow or was emptied makes misses, never errors. What it answers is
 * frozen, and shared with everybody who asks.
 */
export class CacheManager {
  readonly #parts: CacheManagerParts;
  readonly #counts = new CacheCounts();
  readonly #writes: DelayedWrites;
  #settings: CacheSettings;
  #opened: { readonly stores: CacheStores; readonly engine: ComputeEngine } | undefined;
  #closed = false;

  constructor(parts: CacheManagerParts, settings: CacheSettingsInput = {}) {
    this.#parts = parts;
    this.#settings = readSettings(settings);
    this.#writes = new DelayedWrites(parts.log);
  }

  /**
   * Sets the cache up, with a preset (`CACHE_PRESETS`) or settings of one's own; what memory held is forgotten. Without this
   * call the cache sets itself up when it is first used.
   * @throws AppError VALIDATION_ERROR naming the settings, CONFIGURATION_ERROR when they need a Redis that there is not.
   */
  async initialize(settings: CacheSettingsInput = {}): Promise<void> {
    const checked = readSettings(settings);
    const before = this.#opened;
    const stores = this.#parts.open(checked, this.#counts);
    this.#settings = checked;
    this.#opened = { stores, engine: new ComputeEngine(stores.layers, this.#parts.log) };
    before?.engine.close();
    await before?.stores.close();
    await stores.opened();
  }

  /** Undefined: nothing is known. Null: it is known that there is nothing. @throws AppError VALIDATION_ERROR for the key. */
  async get<T>(key: string): Promise<T | null | undefined> {
    const { layers } = this.#use().stores;
    checkKey(key);
    const entry = await layers.read(key);
    return asType<T | null | undefined>(entry ? entry.value : (await this.#counters([key])).get(key));
  }

  /**
   * Keeps a value over whatever was kept, for an hour unless said otherwise. What others read meanwhile is not kept over it.
   * @throws AppError VALIDATION_ERROR for the key, the options, and a value that is no plain data.
   */
  async set(key: string, value: unknown, options: SetOptions = noOptions): Promise<void> {
    const { layers } = this.#use().stores;
    checkKey(key);
    const { tags = [], ttlMs } = checkSetOptions(options);
    const life = { tags, ttlMs: ttlMs ?? this.#settings.ttlMs, graceMs: this.#settings.graceMs };
    try {
      await layers.write(key, value, life);
    } catch (error) {
      throw asFault(error);
    }
  }

  /** @throws AppError VALIDATION_ERROR for the key. */
  async delete(key: string): Promise<void> {
    checkKey(key);
    const { layers, counters } = this.#use().stores;
    await layers.invalidate({ keys: [key] });
    await counters.remove([key]).catch(() => false);
  }

  /** Forgets everything, counters and sets as well, in all processes. */
  async clear(): Promise<void> {
    const { layers, counters } = this.#use().stores;
    await layers.invalidate({ all: true });
    await counters.clear();
  }

  /**
   * What is kept, else what `compute` answers, which is kept then: one computation at a time, of all processes with Redis.
   * What stopped to hold while it was computed is answered and not kept.
   * @throws what `compute` throws, unless a value within its grace can answer; AppError TIMEOUT behind `hardTimeoutMs`,
   * VALIDATION_ERROR for the key and the options.
   */
  async getOrCompute<T>(key: string, compute: () => Promise<T>, options: ComputeOptions = noOptions): Promise<T> {
    const { stores, engine } = this.#use();
    const held = stores.layers.fresh(key);
    if (!held) {
      checkKey(key);
      return asType<T>(await engine.get(key, compute, options));
    }
    this.#counts.note(key, 'memory');
    const { refreshAhead } = options;
    if (refreshAhead !== undefined && isOlder(held, refreshAhead)) engine.refresh(key, compute, options);
    return asType<T>(held.value);
  }

  /**
   * Computes a value whether it is known or not, and keeps it; where another process is doing so, that is enough.
   * @throws what `compute` throws; AppError VALIDATION_ERROR.
   */
  async recompute(key: string, compute: () => Promise<unknown>, options: ComputeOptions = noOptions): Promise<void> {
    await this.#use().engine.recompute(checkKey(key), compute, options);
  }

  /** Of these keys, those of which nothing is known. Nothing is counted. @throws AppError VALIDATION_ERROR for a key. */
  async missing(keys: readonly string[]): Promise<readonly string[]> {
    const { layers } = this.#use().stores;
    const missing: string[] = [];
    for (const part of chunksOf(keys.map(checkKey), keysAtOnce)) {
      const reads = await layers.readMany(part, { counted: false });
      missing.push(...part.filter((_, place) => !reads[place]));
    }
    return missing;
  }

  /** What is known of these keys, by key. Up to 100 are asked for at once. @throws AppError VALIDATION_ERROR for a key. */
  async getBatch<T>(keys: readonly string[]): Promise<ReadonlyMap<string, T | null>> {
    const { layers } = this.#use().stores;
    for (const key of keys) checkKey(key);
    const found = new Map<string, T | null>();
    for (const part of chunksOf(keys, keysAtOnce)) {
      const entries = await layers.readMany(part, { counted: true });
      const unknown: string[] = [];
      for (const [place, key] of part.entries()) {
        const entry = entries[place];
        if (!entry) unknown.push(key);
        else if (entry.value !== undefined) found.set(key, asType<T | null>(entry.value));
      }
      if (unknown.length === 0) continue;
      for (const [key, value] of await this.#counters(unknown)) found.set(key, asType<T>(value));
    }
    return found;
  }

  /** Keeps several values, all under the given tags. @throws as {@link set}; then some may be kept. */
  async setBatch(entries: readonly BatchEntry[], tags: readonly string[] = []): Promise<void> {
    for (const part of chunksOf(entries, keysAtOnce)) {
      await Promise.all(part.map(({ key, value, ttlMs }) => this.set(key, value, { tags, ttlMs })));
    }
  }

  /** As {@link getBatch}, in the order of the keys. */
  async mget<T>(keys: readonly string[]): Promise<readonly (T | null | undefined)[]> {
    const found = await this.getBatch<T>(keys);
    return keys.map((key) => found.get(key));
  }

  /** As {@link setBatch}, without tags. */
  mset(entries: readonly BatchEntry[]): Promise<void> {
    return this.setBatch(entries);
  }

  /**
   * Adds to a counter that all processes share, and answers the sum. It is gone when nobody has added for `ttlMs`; `get` reads it.
   * @throws AppError VALIDATION_ERROR for the key, the amount, or what is no counter; SERVICE_UNAVAILABLE.
   */
  async increment(key: string, by = 1, { ttlMs }: { readonly ttlMs?: number } = {}): Promise<number> {
    checkKey(key);
    if (!Number.isSafeInteger(by)) throw wholeNumber('by');
    const { layers, counters } = this.#use().stores;
    const sum = await counters.increment(key, by, readTtl(ttlMs, this.#settings.ttlMs));
    layers.memory.apply({ keys: [key] });
    return sum;
  }

  /**
   * Adds to a set that all processes share, and answers how many were new. It is gone when nobody has added for `ttlMs`.
   * @throws AppError VALIDATION_ERROR, SERVICE_UNAVAILABLE.
   */
  async addToSet(
    key: string,
    members: readonly string[],
    { ttlMs }: { readonly ttlMs?: number } = {},
  ): Promise<number> {
    checkKey(key);
    if (members.length > mostMembers || members.some(isNoMember)) {
      const message = `must be up to ${mostMembers} texts of at most ${longestMember} characters`;
      throw validationError('the cache', [{ path: 'members', message }]);
    }
    const lives = readTtl(ttlMs, this.#settings.ttlMs);
    return members.length === 0 ? 0 : this.#use().stores.counters.addToSet(key, members, lives);
  }

  /** Members in no order, at most 100,000. @throws AppError VALIDATION_ERROR, SERVICE_UNAVAILABLE. */
  async getSet(key: string, { limit = largestSet }: { readonly limit?: number } = {}): Promise<readonly string[]> {
    if (!Number.isSafeInteger(limit) || limit < 0) throw wholeNumber('limit');
    return this.#use().stores.counters.getSet(checkKey(key), Math.min(limit, largestSet));
  }

  /** Forgets every entry that carries the tag; see {@link invalidate}. */
  invalidateByTag(tag: string): Promise<boolean> {
    return this.invalidate({ tags: [checkKey(tag)] });
  }

  /**
   * Forgets every entry whose whole key matches a glob, or in which the expression is found; see {@link invalidate}.
   * @throws AppError VALIDATION_ERROR for a pattern that is empty, too long, or takes too long; then nothing is to be relied on.
   */
  async invalidateByPattern(pattern: string | RegExp): Promise<boolean> {
    return this.invalidate(readPattern(pattern).invalidation);
  }

  /**
   * Forgets entries. When it resolves nothing of them is answered in this process, nor kept by who was reading them. False:
   * Redis or other processes could not be told; they are as soon as they can be. `tell: false`: all other processes know of it
   * as this one does.
   */
  invalidate(invalidation: Invalidation, options: InvalidateOptions = {}): Promise<boolean> {
    return this.#use().stores.layers.invalidate(invalidation, options);
  }

  /** Writes to the source, then keeps the value. @throws what `persist` throws; then nothing is kept. */
  async writeThrough<T>(
    key: string,
    value: T,
    persist: (value: T) => Promise<unknown>,
    options: SetOptions = noOptions,
  ): Promise<void> {
    checkKey(key);
    await persist(value);
    await this.set(key, value, options);
  }

  /**
   * Keeps the value, and writes it to the source a moment later, again until that succeeds: of several values for a key the
   * last. What is not written yet is lost with the process.
   */
  async writeBehind<T>(
    key: string,
    value: T,
    persist: (value: T) => Promise<unknown>,
    options: SetOptions = noOptions,
  ): Promise<void> {
    await this.set(key, value, options);
    this.#writes.add(key, async () => void (await persist(value)));
  }

  /** Writes what `writeBehind` has left, as far as that succeeds now. */
  flushWrites(): Promise<void> {
    return this.#writes.flush();
  }

  getMetrics(): CacheMetrics {
    const opened = this.#opened?.stores;
    const { memory, redis, stale, miss } = this.#counts.total();
    const { computations, shared, invalidations, outdated, unserialisable, sets } = this.#counts;
    const { entries, totalSize } = this.getLocalCacheStats();
    const side = opened?.layers.redis;
    return {
      hits: memory + redis + stale,
      misses: miss,
      hitRate: this.#counts.hitRate(),
      memoryHits: memory,
      redisHits: redis,
      staleHits: stale,
      sets,
      computations,
      sharedComputations: shared,
      invalidations,
      outdated,
      unserialisable,
      averageSize: entries === 0 ? 0 : Math.round(totalSize / entries),
      writesBehind: this.#writes.size,
      redis: side && { ...side.gate.counts, corrupted: side.corrupted, missedInvalidations: side.missed },
      bus: opened?.bus(),
    };
  }

  getLocalCacheStats(): LocalStats {
    const { maxEntries, maxBytes } = this.#settings;
    const nothing = { entries: 0, totalSize: 0, maxEntries, maxSize: maxBytes, evictions: 0 };
    return this.#opened?.stores.layers.memory.stats() ?? nothing;
  }

  /** For /metrics. */
  metrics(): readonly Metric[] {
    return this.#counts.metrics();
  }

  async close(): Promise<void> {
    await this.#writes.close();
    this.#closed = true;
    this.#opened?.engine.close();
    await this.#opened?.stores.close();
  }

  #use(): { readonly stores: CacheStores; readonly engine: ComputeEngine } {
    if (this.#closed) throw new AppError('INTERRUPTED', 'the cache is closed', {});
    if (!this.#opened) {
      const stores = this.#parts.open(this.#settings, this.#counts);
      this.#opened = { stores, engine: new ComputeEngine(stores.layers, this.#parts.log) };
    }
    return this.#opened;
  }

  /** Where there is no Redis, counters lie elsewhere. Keys that are none are counted as misses. */
  async #counters(keys: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = await this.#use()
      .stores.counters.read(keys)
      .catch((error: unknown) => {
        this.#parts.log.warn({ event: 'cache.counters-not-read', err: error });
        return new Map<string, number>();
      });
    for (const key of keys) this.#counts.note(key, found.has(key) ? 'redis' : 'miss');
    return found;
  }
}

const isOlder = (held: { readonly createdAt: number; readonly expiresAt: number }, share: number): boolean =>
  Date.now() - held.createdAt > share * (held.expiresAt - held.createdAt);

/** The caller knows what it keeps under its keys. */
const asType = <T>(value: unknown): T => value as T;
