import { setTimeout as delay } from 'node:timers/promises';
import type { CacheLayers } from './cache-layers.ts';
import type { LocalEntry } from './local-store.ts';
import type { RedisLayer } from './redis-layer.ts';

const firstPollMs = 10;
const longestPollMs = 100;

/** Who computes: this process, under a claim or (with Redis away) without; or nobody here. */
export type Turn =
  | { readonly kind: 'mine'; readonly since: number; readonly claim: Claim | undefined }
  /** Somebody else has computed it meanwhile. */
  | { readonly kind: 'done'; readonly entry: LocalEntry }
  /** Somebody else is computing it. */
  | { readonly kind: 'busy' };

/** The right of one process to compute an entry, kept alive until it is released or used. */
export class Claim {
  readonly token: string;
  readonly #key: string;
  readonly #layer: RedisLayer;
  readonly #renewal: NodeJS.Timeout;

  constructor(layer: RedisLayer, key: string, token: string, leaseMs: number) {
    this.#layer = layer;
    this.#key = key;
    this.token = token;
    this.#renewal = setInterval(() => void this.#renew(leaseMs), leaseMs / 3).unref();
  }

  stop(): void {
    clearInterval(this.#renewal);
  }

  async release(): Promise<void> {
    this.stop();
    await this.#layer.release(this.#key, this.token);
  }

  async #renew(leaseMs: number): Promise<void> {
    if ((await this.#layer.renew(this.#key, this.token, leaseMs)) === false) this.stop();
  }
}

export interface TurnOptions {
  readonly tags: readonly string[];
  readonly livesMs: number;
  /** Computed although it is fresh: whoever else does so already is enough. */
  readonly isRefresh: boolean;
  readonly signal: AbortSignal;
}

/**
 * Waits until this process may compute the entry, or another has done so. One whose process dies gives its turn up with its
 * lease. The entry is written to its tags before anything is read.
 */
export const awaitTurn = async (layers: CacheLayers, key: string, options: TurnOptions): Promise<Turn> => {
  const { leaseMs } = layers.settings;
  for (let pollMs = firstPollMs; ; pollMs = Math.min(longestPollMs, pollMs * 1.5)) {
    const since = layers.memory.log.now;
    const layer = layers.redis?.layer;
    const claimed = layer ? await layer.claim(key, leaseMs, { since }) : undefined;
    if (!layer || !claimed || claimed.state === 'away') return { kind: 'mine', since, claim: undefined };
    const entry = claimed.found;
    const isDone = !options.isRefresh && entry !== undefined && entry.expiresAt > Date.now();
    if (claimed.state === 'mine') {
      const claim = new Claim(layer, key, claimed.token, leaseMs);
      if (!isDone && (await layer.tag(key, options.tags, options.livesMs))) return { kind: 'mine', since, claim };
      await claim.release();
      if (!isDone) return { kind: 'mine', since, claim: undefined };
    }
    if (isDone) return { kind: 'done', entry };
    if (options.isRefresh) return { kind: 'busy' };
    await delay(pollMs * (0.75 + Math.random() / 2), undefined, { signal: options.signal });
  }
};
