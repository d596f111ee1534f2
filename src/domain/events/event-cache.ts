import { validationError } from '../../lib/errors/app-error.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { DomainEvent } from './domain-event.ts';
import { fits, latestFirst, parseCriteria, type EventCriteria, type EventStorage } from './event-storage.ts';

export const StorageMode = {
  /** Events are kept in memory only. */
  MEMORY: 'memory',
  /** In memory at once, and in the storage. */
  WRITE_THROUGH: 'write-through',
  /** In the storage only. */
  STORAGE_ONLY: 'storage-only',
} as const;
export type StorageMode = (typeof StorageMode)[keyof typeof StorageMode];

export interface EventCacheOptions {
  /** How many events are kept in memory, the least recently used goes first: 1,000 by default. */
  readonly maxSize?: number | undefined;
  /** How long an event is kept in memory: 5 min by default; 0 keeps none. */
  readonly ttlMs?: number | undefined;
  /** `memory` by default. */
  readonly mode?: StorageMode | undefined;
  /** For the other modes. */
  readonly storage?: EventStorage | undefined;
  /** With `write-through`: a storage that fails is logged and counted, and memory answers. True by default. */
  readonly fallbackToCache?: boolean | undefined;
  readonly log?: Log | undefined;
  /** A clock in ms that only goes forward. */
  readonly now?: (() => number) | undefined;
}

export interface EventCacheStats {
  readonly mode: StorageMode;
  readonly size: number;
  readonly maxSize: number;
  readonly hits: number;
  readonly misses: number;
  /** Of what was asked for by id, 0 to 1. */
  readonly hitRate: number;
  /** Gone to make room. */
  readonly evictions: number;
  /** Gone by age. */
  readonly expirations: number;
  readonly storageErrors: number;
}

interface Entry {
  readonly event: DomainEvent;
  readonly expiresAt: number;
}

const checkSize = (path: string, value: number, most: number): void => {
  if (Number.isInteger(value) && value >= 0 && value <= most) return;
  throw validationError('the event cache', [{ path, message: `must be a whole number from 0 to ${most}` }]);
};

/** The last events, in memory, in front of a storage, or a storage alone. */
export class EventCache {
  readonly #mode: StorageMode;
  readonly #storage: EventStorage | undefined;
  readonly #options: { readonly maxSize: number; readonly ttlMs: number; readonly fallbackToCache: boolean };
  readonly #log: Log | undefined;
  readonly #now: () => number;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #counts = { hits: 0, misses: 0, evictions: 0, expirations: 0, storageErrors: 0 };
  /** Grows when something is taken out: what was read before must not be put in after. */
  #removals = 0;

  /** @throws AppError VALIDATION_ERROR for a size or time out of range, or a mode that needs a storage. */
  constructor({ maxSize = 1_000, ttlMs = 300_000, mode = StorageMode.MEMORY, ...rest }: EventCacheOptions = {}) {
    const { storage, fallbackToCache = true, log, now = () => performance.now() } = rest;
    checkSize('maxSize', maxSize, 1_000_000);
    checkSize('ttlMs', ttlMs, 2_147_483_647);
    if (!Object.values(StorageMode).includes(mode))
      throw validationError('the event cache', [
        { path: 'mode', message: `must be ${Object.values(StorageMode).join(', ')}` },
      ]);
    if (mode !== StorageMode.MEMORY && !storage)
      throw validationError('the event cache', [{ path: 'storage', message: `is needed for the mode ${mode}` }]);
    this.#mode = mode;
    this.#storage = mode === StorageMode.MEMORY ? undefined : storage;
    this.#options = { maxSize, ttlMs, fallbackToCache };
    this.#log = log;
    this.#now = now;
  }

  /** Keeps an event, in memory first. @throws what the storage throws, unless memory stands in for it. */
  add(event: DomainEvent): Promise<void> {
    return this.addBatch([event]);
  }

  async addBatch(events: readonly DomainEvent[]): Promise<void> {
    this.remember(events);
    if (!this.#storage) return;
    try {
      await this.#storage.saveBatch(events);
    } catch (error) {
      if (this.#standsIn(error)) return;
      for (const { id } of events) this.#entries.delete(id);
      throw error;
    }
  }

  /** Keeps in memory what the storage has already. */
  remember(events: readonly DomainEvent[]): void {
    const { maxSize, ttlMs } = this.#options;
    if (this.#mode === StorageMode.STORAGE_ONLY || ttlMs === 0 || maxSize === 0) return;
    const expiresAt = this.#now() + ttlMs;
    for (const event of events) {
      this.#entries.delete(event.id);
      this.#entries.set(event.id, { event, expiresAt });
    }
    this.#makeRoom();
  }

  /** From memory, else from the storage, which memory then has too. */
  async get(eventId: string): Promise<DomainEvent | null> {
    const id = eventId.toLowerCase();
    const known = this.#fresh(id);
    if (known) {
      this.#counts.hits += 1;
      this.#entries.delete(id);
      this.#entries.set(id, known);
      return known.event;
    }
    this.#counts.misses += 1;
    if (!this.#storage) return null;
    const removals = this.#removals;
    try {
      const event = await this.#storage.load(id);
      if (event && removals === this.#removals) this.remember([event]);
      return event;
    } catch (error) {
      if (this.#standsIn(error)) return null;
      throw error;
    }
  }

  /**
   * The latest first. The storage knows them all; memory answers where there is none, or where it stands in for one that
   * fails.
   */
  async query(criteria: EventCriteria): Promise<readonly DomainEvent[]> {
    const parsed = parseCriteria(criteria);
    if (this.#storage) {
      try {
        return await this.#storage.query(criteria);
      } catch (error) {
        if (!this.#standsIn(error)) throw error;
      }
    }
    return [...this.#entries.keys()]
      .flatMap((id) => this.#fresh(id)?.event ?? [])
      .filter((event) => fits(event, parsed))
      .toSorted(latestFirst)
      .slice(0, parsed.limit);
  }

  /** Whether the event was there. */
  async remove(eventId: string): Promise<boolean> {
    const id = eventId.toLowerCase();
    this.#removals += 1;
    const had = this.#entries.delete(id);
    try {
      return (await this.#storage?.delete(id)) ?? had;
    } catch (error) {
      if (this.#standsIn(error)) return had;
      throw error;
    }
  }

  /** Empties memory. */
  clear(): void {
    this.#removals += 1;
    this.#entries.clear();
  }

  getStats(): EventCacheStats {
    for (const id of this.#entries.keys()) this.#fresh(id);
    const { hits, misses } = this.#counts;
    const hitRate = hits + misses === 0 ? 0 : hits / (hits + misses);
    return { mode: this.#mode, size: this.#entries.size, maxSize: this.#options.maxSize, hitRate, ...this.#counts };
  }

  #fresh(id: string): Entry | undefined {
    const entry = this.#entries.get(id);
    if (!entry || entry.expiresAt > this.#now()) return entry;
    this.#entries.delete(id);
    this.#counts.expirations += 1;
    return undefined;
  }

  #makeRoom(): void {
    for (const [id, { expiresAt }] of this.#entries) {
      if (this.#entries.size <= this.#options.maxSize) return;
      this.#entries.delete(id);
      this.#counts[expiresAt > this.#now() ? 'evictions' : 'expirations'] += 1;
    }
  }

  /** Counts a failure of the storage; answers whether memory makes up for it. */
  #standsIn(error: unknown): boolean {
    this.#counts.storageErrors += 1;
    if (this.#mode !== StorageMode.WRITE_THROUGH || !this.#options.fallbackToCache) return false;
    this.#log?.warn({ event: 'events.storage-failed', err: error });
    return true;
  }
}
