import { createHash } from 'node:crypto';
import { CacheKeyBuilder } from '../../lib/cache/cache-key-builder.ts';
import type { CacheManager } from '../../lib/cache/cache-manager.ts';
import type { Embedder } from './embedder.ts';

/** Remembers the vectors of texts that were searched for. */
export interface QueryVectors {
  of(
    text: string,
    model: Pick<Embedder, 'model' | 'dimensions'>,
    embed: () => Promise<Float32Array>,
  ): Promise<Float32Array>;
}

const mostRemembered = 500;
const dayMs = 86_400_000;
const embedWithinMs = 30_000;

/** Those used last, of this process: for a model that answers sooner than a cache elsewhere would. */
export class RecentQueryVectors implements QueryVectors {
  readonly #vectors = new Map<string, Float32Array>();

  async of(
    text: string,
    _model: Pick<Embedder, 'model' | 'dimensions'>,
    embed: () => Promise<Float32Array>,
  ): Promise<Float32Array> {
    const known = this.#vectors.get(text);
    const vector = known ?? (await embed());
    this.#vectors.delete(text);
    this.#vectors.set(text, vector);
    const oldest = this.#vectors.keys().next();
    if (this.#vectors.size > mostRemembered && !oldest.done) this.#vectors.delete(oldest.value);
    return vector;
  }
}

/** A day, in the cache of all processes: for a model that is paid for. */
export class CachedQueryVectors implements QueryVectors {
  readonly #cache: CacheManager;

  constructor(cache: CacheManager) {
    this.#cache = cache;
  }

  of(
    text: string,
    { model, dimensions }: Pick<Embedder, 'model' | 'dimensions'>,
    embed: () => Promise<Float32Array>,
  ): Promise<Float32Array> {
    const hash = createHash('sha256').update(text).digest('base64url');
    const key = CacheKeyBuilder.entity('embedding', model, dimensions, hash);
    return this.#cache.getOrCompute(key, embed, { ttlMs: dayMs, hardTimeoutMs: embedWithinMs });
  }
}
