/** What memory holds of an entry. */
export interface LocalEntry {
  readonly value: unknown;
  readonly tags: readonly string[];
  readonly bytes: number;
  readonly createdAt: number;
  /** When it stops to be fresh, by the clock of this process. */
  readonly expiresAt: number;
  /** When it is gone. */
  readonly diesAt: number;
  /** How far the {@link InvalidationLog} had come before it was read. */
  readonly since: number;
  /** It changes elsewhere: it is read, and not remembered. */
  readonly isCounter?: true;
}

export interface LocalStats {
  readonly entries: number;
  readonly totalSize: number;
  readonly maxEntries: number;
  readonly maxSize: number;
  readonly evictions: number;
}

/** Entries in the memory of this process, the least recently used of which go first; found by key and by tag. */
export class LocalStore {
  readonly #entries = new Map<string, LocalEntry>();
  readonly #byTag = new Map<string, Set<string>>();
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  #bytes = 0;
  #evictions = 0;

  constructor({ maxEntries, maxBytes }: { readonly maxEntries: number; readonly maxBytes: number }) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  /** Fresh, or within its grace. */
  get(key: string): LocalEntry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.diesAt <= Date.now()) {
      this.delete(key);
      return undefined;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  /** Whatever its age, and without being used by it. */
  peek(key: string): LocalEntry | undefined {
    return this.#entries.get(key);
  }

  set(key: string, entry: LocalEntry): void {
    this.delete(key);
    if (entry.bytes > this.#maxBytes || entry.diesAt <= Date.now()) return;
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    for (const tag of entry.tags) {
      const keys = this.#byTag.get(tag);
      if (keys) keys.add(key);
      else this.#byTag.set(tag, new Set([key]));
    }
    while (this.#entries.size > this.#maxEntries || this.#bytes > this.#maxBytes) this.#evict();
  }

  delete(key: string): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    for (const tag of entry.tags) {
      const keys = this.#byTag.get(tag);
      keys?.delete(key);
      if (keys?.size === 0) this.#byTag.delete(tag);
    }
    return true;
  }

  deleteTagged(tag: string): number {
    const keys = [...(this.#byTag.get(tag) ?? [])];
    for (const key of keys) this.delete(key);
    return keys.length;
  }

  keys(): readonly string[] {
    return [...this.#entries.keys()];
  }

  clear(): void {
    this.#entries.clear();
    this.#byTag.clear();
    this.#bytes = 0;
  }

  /** Nothing lives longer than `ms` from now on. */
  shorten(ms: number): void {
    const latest = Date.now() + ms;
    for (const [key, entry] of this.#entries) {
      if (entry.diesAt <= latest) continue;
      this.#entries.set(key, { ...entry, expiresAt: Math.min(entry.expiresAt, latest), diesAt: latest });
    }
  }

  stats(): LocalStats {
    return {
      entries: this.#entries.size,
      totalSize: this.#bytes,
      maxEntries: this.#maxEntries,
      maxSize: this.#maxBytes,
      evictions: this.#evictions,
    };
  }

  #evict(): void {
    const oldest = this.#entries.keys().next();
    if (oldest.done) return;
    this.delete(oldest.value);
    this.#evictions += 1;
  }
}
