/** What stops to hold; on the bus as JSON. */
export type Invalidation =
  | { readonly keys: readonly string[] }
  | { readonly tags: readonly string[] }
  | { readonly glob: string }
  | { readonly regexp: { readonly source: string; readonly flags: string } }
  | { readonly all: true };

const remembered = 10_000;

/**
 * Remembers in which order things stopped to hold, so that what was read before that is not kept after it. Pure memory, of
 * one process.
 */
export class InvalidationLog {
  #now = 0;
  /** What is older may have been forgotten. */
  #floor = 0;
  #all = 0;
  readonly #keys = new Map<string, number>();
  readonly #tags = new Map<string, number>();

  /** To be asked for before something is read. */
  get now(): number {
    return this.#now;
  }

  note(invalidation: Invalidation): void {
    this.#now += 1;
    if ('keys' in invalidation) for (const key of invalidation.keys) this.#remember(this.#keys, key);
    else if ('tags' in invalidation) for (const tag of invalidation.tags) this.#remember(this.#tags, tag);
    // A pattern is not compared with what is not there yet: nothing that is under way is kept.
    else this.#all = this.#now;
  }

  /** Whether what was read at `since` may still be kept under this key and these tags. */
  allows(key: string, tags: readonly string[], since: number): boolean {
    if (since === this.#now) return true;
    if (since < this.#floor || since < this.#all || since < (this.#keys.get(key) ?? 0)) return false;
    return tags.every((tag) => since >= (this.#tags.get(tag) ?? 0));
  }

  #remember(known: Map<string, number>, name: string): void {
    known.delete(name);
    known.set(name, this.#now);
    if (known.size <= remembered) return;
    const oldest = known.entries().next();
    if (oldest.done) return;
    const [forgotten, at] = oldest.value;
    known.delete(forgotten);
    this.#floor = Math.max(this.#floor, at);
  }
}
