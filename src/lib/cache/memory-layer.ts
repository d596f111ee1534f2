import { InvalidationLog, type Invalidation } from './invalidation.ts';
import { patternOf } from './key-pattern.ts';
import { deepFreeze } from './value-codec.ts';
import { LocalStore, type LocalEntry, type LocalStats } from './local-store.ts';

/** How old a value may become of which nobody would hear that it no longer holds. */
const blindMs = 5_000;

/** What this process remembers, and in which order it was told that things no longer hold. */
export class MemoryLayer {
  readonly log = new InvalidationLog();
  readonly #store: LocalStore;
  /** False: only the order is kept, no entries. */
  readonly keeps: boolean;
  /** Who would tell what no longer holds, and can't now. */
  readonly #deaf: Set<string>;

  constructor({
    keeps,
    ears,
    ...limits
  }: {
    readonly keeps: boolean;
    /** Names of those that will tell what no longer holds. */
    readonly ears: readonly string[];
    readonly maxEntries: number;
    readonly maxBytes: number;
  }) {
    this.#store = new LocalStore(limits);
    this.keeps = keeps;
    this.#deaf = new Set(ears);
  }

  /** Fresh, or within its grace. */
  get(key: string): LocalEntry | undefined {
    return this.#store.get(key);
  }

  /** Unless it, or a tag of it, stopped to hold after it was read. */
  keep(key: string, entry: LocalEntry): boolean {
    if (!this.log.allows(key, entry.tags, entry.since)) return false;
    if (!this.keeps) return true;
    // It is given to everybody who asks.
    deepFreeze(entry.value);
    if (this.#deaf.size > 0) {
      const latest = Date.now() + blindMs;
      const { expiresAt, diesAt } = entry;
      this.#store.set(key, { ...entry, expiresAt: Math.min(expiresAt, latest), diesAt: Math.min(diesAt, latest) });
    } else this.#store.set(key, entry);
    return true;
  }

  /** Takes this value out, if it is still there. */
  drop(key: string, value: unknown): void {
    if (this.#store.peek(key)?.value === value) this.#store.delete(key);
  }

  forget(key: string): void {
    this.#store.delete(key);
  }

  /** @throws AppError VALIDATION_ERROR for a pattern that takes too long; then everything is gone. */
  apply(invalidation: Invalidation): void {
    this.log.note(invalidation);
    if ('keys' in invalidation) for (const key of invalidation.keys) this.#store.delete(key);
    else if ('tags' in invalidation) for (const tag of invalidation.tags) this.#store.deleteTagged(tag);
    else if ('all' in invalidation) this.#store.clear();
    else {
      try {
        for (const key of patternOf(invalidation).matching(this.#store.keys())) this.#store.delete(key);
      } catch (error) {
        this.#store.clear();
        throw error;
      }
    }
  }

  /** Whether one of them hears. What was remembered until then is not to be trusted. */
  setHearing(ear: string, hears: boolean): void {
    if (hears) this.#deaf.delete(ear);
    else this.#deaf.add(ear);
    this.apply({ all: true });
  }

  stats(): LocalStats {
    return this.#store.stats();
  }
}
