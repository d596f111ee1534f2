import { invalidationsOf } from '../domain/caching/cache-change.ts';
import type { CacheManager } from '../lib/cache/cache-manager.ts';
import type { Log } from '../lib/log/create-log.ts';

export interface ShownSearchesParts {
  readonly cache: CacheManager;
  readonly log: Log;
  /** How long an index may take to show what was written to it. */
  readonly refreshMs: number;
}

/**
 * Has searches forgotten once the index shows what was written to it: a search before that would only find, and keep, what
 * was. Not durable: a process that is killed meanwhile leaves answers until they expire.
 */
export class ShownSearches {
  readonly #parts: ShownSearchesParts;
  readonly #waiting = new Set<string>();
  #isWaiting = false;

  constructor(parts: ShownSearchesParts) {
    this.#parts = parts;
  }

  /** Documents of these workspaces were written; empty text: of any. */
  written(workspaceIds: Iterable<string>): void {
    for (const id of workspaceIds) this.#waiting.add(id);
    if (this.#waiting.size === 0) return;
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    setTimeout(() => void this.#forget(), this.#parts.refreshMs).unref();
  }

  async #forget(): Promise<void> {
    this.#isWaiting = false;
    const ids = [...this.#waiting];
    this.#waiting.clear();
    const { cache, log } = this.#parts;
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
