import type { BusMember } from './bus/bus-member.ts';
import type { CacheCounts } from './cache-metrics.ts';
import type { CacheSettings } from './cache-settings.ts';
import type { Invalidation } from './invalidation.ts';
import type { LocalEntry } from './local-store.ts';
import type { MemoryLayer } from './memory-layer.ts';
import type { RedisSide } from './redis-side.ts';
import { encodeValue, frozenCopy, type EncodedValue } from './value-codec.ts';

export interface CacheLayersParts {
  readonly memory: MemoryLayer;
  readonly redis: RedisSide | undefined;
  readonly member: BusMember | undefined;
  readonly counts: CacheCounts;
  readonly settings: CacheSettings;
}

export interface InvalidateOptions {
  readonly tell?: boolean;
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
    if (!this.memory.keeps) return undefined;
    const entry = this.memory.get(key);
    return entry && entry.expiresAt > Date.now() ? entry : undefined;
  }

  /** Fresh, from wherever; what is found is counted. */
  async read(key: string): Promise<LocalEntry | undefined> {
    const held = this.fresh(key);
    if (held) {
      this.counts.note(key, 'memory');
      return held;
    }
    const since = this.memory.log.now;
    const found = this.#taken(key, await this.redis?.layer?.get(key, since), Date.now());
    if (found) this.counts.note(key, 'redis');
    return found;
  }

  /** As {@link read}, in the order of the keys; counted if it is asked for. */
  async readMany(
    keys: readonly string[],
    { counted }: { readonly counted: boolean },
  ): Promise<readonly (LocalEntry | undefined)[]> {
    const missing: string[] = [];
    const reads = keys.map((key) => {
      const held = this.fresh(key);
      if (!held) missing.push(key);
      else if (counted) this.counts.note(key, 'memory');
      return held;
    });
    const layer = this.redis?.layer;
    if (missing.length === 0 || !layer) return reads;
    const found = await layer.getMany(missing, this.memory.log.now);
    const now = Date.now();
    let next = -1;
    return reads.map((held, place) => {
      if (held) return held;
      next += 1;
      const key = keys[place] ?? '';
      const entry = this.#taken(key, found[next], now);
      if (entry && counted) this.counts.note(key, 'redis');
      return entry;
    });
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
   * `tell: false`: all other processes know of it as this one does. Resolves when nothing of it is answered in this process any more. False: Redis, or other processes, are told later:
   * Redis when it can be reached, the others within the time of a beat.
   * @throws AppError VALIDATION_ERROR for a pattern that takes too long.
   */
  async invalidate(invalidation: Invalidation, { tell = true }: InvalidateOptions = {}): Promise<boolean> {
    this.counts.invalidations += 1;
    this.memory.apply(invalidation);
    let reached = true;
    if (this.redis) {
      reached = await this.redis.invalidate(invalidation);
      // What was read from Redis meanwhile.
      this.memory.apply(invalidation);
    }
    return (!tell || (await this.#tell(invalidation))) && reached;
  }

  /** What was read from Redis, remembered here. */
  #taken(key: string, entry: LocalEntry | undefined, now: number): LocalEntry | undefined {
    if (!entry || entry.expiresAt <= now) return undefined;
    if (!entry.isCounter) this.memory.keep(key, entry);
    return entry;
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
