import type { BusMember } from './bus/bus-member.ts';
import type { CacheCounts } from './cache-metrics.ts';
import type { CacheSettings } from './cache-settings.ts';
import type { Invalidation } from './invalidation.ts';
import type { LocalEntry } from './local-store.ts';
import type { MemoryLayer } from './memory-layer.ts';
import type { Found } from './redis-layer.ts';
import type { RedisSide } from './redis-side.ts';
import { encodeValue, frozenCopy, type EncodedValue } from './value-codec.ts';

export interface CacheLayersParts {
  readonly memory: MemoryLayer;
  readonly redis: RedisSide | undefined;
  readonly member: BusMember | undefined;
  readonly counts: CacheCounts;
  readonly settings: CacheSettings;
}

/** What is read is an entry, or a counter. */
export interface Read {
  readonly value: unknown;
  readonly from: 'memory' | 'redis';
}

export interface Life {
  readonly tags: readonly string[];
  readonly ttlMs: number;
  readonly graceMs: number;
}

/** An entry as memory holds it and as Redis is given it. */
export interface NewEntry extends LocalEntry {
  readonly encoded: EncodedValue;
}

/** Where entries are read, written and removed: memory, then Redis, then the memory of all other processes. */
export class CacheLayers {
  readonly memory: MemoryLayer;
  readonly counts: CacheCounts;
  readonly settings: CacheSettings;
  readonly redis: RedisSide | undefined;
  readonly #member: BusMember | undefined;

  constructor({ memory, redis, member, counts, settings }: CacheLayersParts) {
    this.memory = memory;
    this.redis = redis;
    this.#member = member;
    this.counts = counts;
    this.settings = settings;
  }

  /** Fresh, from memory. */
  fresh(key: string): LocalEntry | undefined {
    const entry = this.memory.get(key);
    return entry && entry.expiresAt > Date.now() ? entry : undefined;
  }

  async read(key: string): Promise<Read | undefined> {
    const held = this.fresh(key);
    if (held) return { value: held.value, from: 'memory' };
    const since = this.memory.log.now;
    return this.taken(key, await this.redis?.layer?.get(key, since), since);
  }

  /** In the order of the keys. */
  async readMany(keys: readonly string[]): Promise<readonly (Read | undefined)[]> {
    const reads = keys.map((key): Read | undefined => {
      const held = this.fresh(key);
      return held && { value: held.value, from: 'memory' };
    });
    const missing = keys.flatMap((key, place) => (reads[place] ? [] : [{ key, place }]));
    const layer = this.redis?.layer;
    if (missing.length === 0 || !layer) return reads;
    const since = this.memory.log.now;
    const found = await layer.getMany(
      missing.map(({ key }) => key),
      since,
    );
    for (const [index, { key, place }] of missing.entries()) reads[place] = this.taken(key, found[index], since);
    return reads;
  }

  /** An entry that memory may hold, of what was read from Redis at `since`. */
  localOf(found: Found, since: number): LocalEntry {
    if (found.kind === 'entry') return found.entry;
    // A counter changes elsewhere: it is read, and not remembered.
    const now = Date.now();
    return { value: found.value, tags: [], bytes: 0, createdAt: now, expiresAt: now + 1_000, diesAt: now, since };
  }

  /** @throws Unserialisable. */
  newEntry(value: unknown, { tags, ttlMs, graceMs }: Life, since: number): NewEntry {
    const encoded = encodeValue(value);
    const createdAt = Date.now();
    const expiresAt = createdAt + ttlMs;
    return {
      value: frozenCopy(encoded),
      encoded,
      tags,
      bytes: encoded.json?.length ?? 0,
      createdAt,
      expiresAt,
      diesAt: expiresAt + graceMs,
      since,
    };
  }

  /** Writes over whatever there is, and whatever is computed. @throws Unserialisable. */
  async write(key: string, value: unknown, life: Life): Promise<void> {
    const keys = [key];
    // First, so that nothing is lost of what is there when the value can't be written.
    const checked = this.newEntry(value, life, 0);
    this.memory.apply({ keys });
    const entry = { ...checked, since: this.memory.log.now };
    this.memory.keep(key, entry);
    this.counts.sets += 1;
    if (this.redis) {
      const stored = await this.redis.layer?.store(key, entry, this.settings.leaseMs);
      if (stored !== true) this.redis.miss({ keys });
    }
    await this.#tell({ keys });
  }

  /**
   * Resolves when nothing of it is answered in this process any more. False: Redis, or other processes, are told later:
   * Redis when it can be reached, the others within the time of a beat.
   * @throws AppError VALIDATION_ERROR for a pattern that takes too long.
   */
  async invalidate(invalidation: Invalidation): Promise<boolean> {
    this.counts.invalidations += 1;
    this.memory.apply(invalidation);
    let reached = true;
    if (this.redis) {
      reached = await this.redis.invalidate(invalidation);
      // What was read from Redis meanwhile.
      this.memory.apply(invalidation);
    }
    return (await this.#tell(invalidation)) && reached;
  }

  /** What was read from Redis, remembered here. */
  taken(key: string, found: Found | undefined, since: number): Read | undefined {
    if (!found) return undefined;
    const entry = this.localOf(found, since);
    if (entry.expiresAt <= Date.now()) return undefined;
    if (found.kind === 'entry') this.memory.keep(key, entry);
    return { value: entry.value, from: 'redis' };
  }

  async #tell(invalidation: Invalidation): Promise<boolean> {
    try {
      await this.#member?.publish(invalidation);
      return true;
    } catch {
      return false;
    }
  }
}
