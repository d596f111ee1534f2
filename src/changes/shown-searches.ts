import { invalidationsOf } from '../domain/caching/cache-change.ts';
import type { CacheManager } from '../lib/cache/cache-manager.ts';
import type { Log } from '../lib/log/create-log.ts';

export interface ShownSearchesParts {
  readonly cache: CacheManager;
  readonly log: Log;
  /** 1.5 s by default: an index is refreshed each second. */
  readonly everyMs?: number;
  /** How long an index that is busy may take to show what was written to it; 10 s by default. */
  readonly withinMs?: number;
}

/**
 * Has searches forgotten until the index shows what was written to it: a search before that would only find, and keep, what
 * was. Not durable: a process that is killed meanwhile leaves answers until they expire.
 */
export class ShownSearches {
  readonly #parts: ShownSearchesParts;
  /** Workspaces, with when they were last written to. */
  readonly #written = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: ShownSearchesParts) {
    this.#parts = parts;
  }

  /** Documents of these workspaces were written; empty text: of any. */
  written(workspaceIds: Iterable<string>): void {
    const now = performance.now();
    for (const id of workspaceIds) this.#written.set(id, now);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer || this.#written.size === 0) return;
    this.#timer = setTimeout(() => void this.#forget(), this.#parts.everyMs ?? 1_500).unref();
  }

  async #forget(): Promise<void> {
    const { cache, log, withinMs = 10_000 } = this.#parts;
    const ids = [...this.#written.keys()];
    const shownBefore = performance.now() - withinMs;
    for (const [id, at] of this.#written) if (at <= shownBefore) this.#written.delete(id);
    this.#timer = undefined;
    this.#schedule();
    try {
      if (ids.includes('')) await cache.invalidateByPattern('search:*');
      else {
        for (const workspaceId of ids)
          for (const invalidation of invalidationsOf({ kind: 'search', workspaceId }))
            await cache.invalidate(invalidation);
      }
    } catch (error) {
      log.warn({ event: 'cache.searches-not-forgotten', err: error });
    }
  }
}
