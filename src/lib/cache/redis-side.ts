import type { Log } from '../log/create-log.ts';
import type { Invalidation } from './invalidation.ts';
import { patternOf } from './key-pattern.ts';
import type { RedisGate } from './redis-gate.ts';
import type { RedisLayer } from './redis-layer.ts';
import type { RedisRemoval } from './redis-removal.ts';

export interface RedisSideParts {
  readonly gate: RedisGate;
  readonly layer: RedisLayer;
  readonly removal: RedisRemoval;
  readonly log: Log;
}

const retryMs = 500;
const mostMissed = 1_000;

/**
 * Redis, and what it has not been told yet. While something is missing there, this process reads nothing from it: values that
 * no longer hold could lie there still.
 */
export class RedisSide {
  readonly #parts: RedisSideParts;
  #missed: Invalidation[] = [];
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: RedisSideParts) {
    this.#parts = parts;
  }

  /** Undefined while it is not to be trusted. */
  get layer(): RedisLayer | undefined {
    return this.#missed.length === 0 ? this.#parts.layer : undefined;
  }

  get gate(): RedisGate {
    return this.#parts.gate;
  }

  get corrupted(): number {
    return this.#parts.layer.corrupted;
  }

  get missed(): number {
    return this.#missed.length;
  }

  /** False: Redis can't be told now, and is told as soon as it can be. @throws AppError VALIDATION_ERROR for a slow pattern. */
  async invalidate(invalidation: Invalidation): Promise<boolean> {
    // One behind the other: what was missed first is not to come back by what is told later.
    if (this.#missed.length === 0 && (await this.#remove(invalidation))) return true;
    this.miss(invalidation);
    return false;
  }

  /** Remembers what Redis has yet to be told. */
  miss(invalidation: Invalidation): void {
    this.#missed.push(invalidation);
    if (this.#missed.length > mostMissed) this.#missed = [{ all: true }];
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
  }

  #schedule(): void {
    if (this.#retry || this.#closed) return;
    this.#retry = setTimeout(() => void this.#tell(), retryMs).unref();
  }

  async #tell(): Promise<void> {
    const { log } = this.#parts;
    try {
      for (let next = this.#missed[0]; next && !this.#closed; next = this.#missed[0]) {
        if (!(await this.#remove(next))) break;
        // What was missed meanwhile may have been gathered into one.
        if (this.#missed[0] === next) this.#missed.shift();
      }
    } catch (error) {
      // A pattern that is too slow there was refused to whoever gave it; here it is everything.
      log.warn({ event: 'cache.pattern-too-slow', err: error });
      this.#missed = [{ all: true }];
    }
    this.#retry = undefined;
    if (this.#missed.length > 0) this.#schedule();
  }

  async #remove(invalidation: Invalidation): Promise<boolean> {
    const { removal } = this.#parts;
    if ('keys' in invalidation) return removal.keys(invalidation.keys);
    if ('all' in invalidation) return removal.all();
    if (!('tags' in invalidation)) return removal.matching(patternOf(invalidation));
    for (const tag of invalidation.tags) if (!(await removal.tagged(tag))) return false;
    return true;
  }
}
