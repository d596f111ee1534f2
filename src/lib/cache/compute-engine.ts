import { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import { withTimeout } from '../batching/with-timeout.ts';
import { memoryLayerOf, passThrough, redisLayerOf, type ComputedEntry } from './bento-drivers.ts';
import type { CacheLayers } from './cache-layers.ts';
import { checkComputeOptions, type ComputeOptions } from './cache-settings.ts';
import type { LocalEntry } from './local-store.ts';
import { awaitTurn } from './shared-claim.ts';
import { Unserialisable } from './value-codec.ts';

/** What of bentocache is used here, typed by what its drivers are given. */
interface Engine {
  getOrSet(options: {
    readonly key: string;
    readonly factory: (context: FactoryContext) => Promise<unknown>;
    readonly ttl: number;
    readonly grace: number | false;
    readonly graceBackoff: number;
    readonly timeout: number | null;
    readonly hardTimeout: null;
    readonly suppressL2Errors: true;
    readonly forceFresh: boolean;
  }): Promise<unknown>;
}

interface FactoryContext {
  readonly skip: () => undefined;
  readonly setTtl: (ttl: number) => unknown;
  readonly setOptions: (options: { readonly ttl: number; readonly skipL2Write: boolean }) => unknown;
}

/** What happened in one call. */
interface Call {
  readonly key: string;
  readonly compute: () => Promise<unknown>;
  readonly options: ComputeOptions;
  readonly ttlMs: number;
  readonly graceMs: number;
  readonly isRefresh: boolean;
  /** What it has computed, and answers. */
  made: LocalEntry | undefined;
  /** What is answered and not kept. */
  unkept: { readonly value: unknown } | undefined;
}

/** A source that failed is asked again after so long. */
const backoffMs = 2_000;

const isEntry = (found: unknown): found is LocalEntry =>
  typeof found === 'object' && found !== null && 'diesAt' in found && 'since' in found;

const openEngine = async (layers: CacheLayers, fetched: WeakSet<object>): Promise<Engine> => {
  const { BentoCache, bentostore } = await import('bentocache');
  const store = bentostore();
  if (layers.settings.layers !== 'redis') store.useL1Layer(memoryLayerOf(layers));
  if (layers.redis) store.useL2Layer(redisLayerOf(layers, fetched));
  return new BentoCache({ default: 'cache', stores: { cache: store }, serializer: passThrough }).use();
};

/**
 * Computes what is missing: once at a time in this process, which bentocache sees to with stale values and time-outs, and
 * once in all processes, which claims in Redis see to.
 */
export class ComputeEngine {
  readonly #layers: CacheLayers;
  readonly #log: Log;
  readonly #fetched = new WeakSet<object>();
  readonly #refreshing = new Set<string>();
  readonly #closing = new AbortController();
  #engine: Promise<Engine> | undefined;

  constructor(layers: CacheLayers, log: Log) {
    this.#layers = layers;
    this.#log = log;
  }

  /** @throws what `compute` throws; AppError TIMEOUT behind `hardTimeoutMs`, VALIDATION_ERROR for the options. */
  async get(key: string, compute: () => Promise<unknown>, given: ComputeOptions): Promise<unknown> {
    const options = checkComputeOptions(given);
    const call = this.#call(key, compute, options, false);
    const asked = this.#run(call);
    if (options.hardTimeoutMs === undefined) return asked;
    try {
      return await withTimeout(asked, options.hardTimeoutMs, 'the source of the cache');
    } catch (error) {
      const stale = error instanceof AppError && error.code === 'TIMEOUT' ? this.#layers.memory.get(key) : undefined;
      asked.catch(() => undefined);
      if (!stale) throw error;
      this.#layers.counts.note(key, 'stale');
      return stale.value;
    }
  }

  /** Computes what is fresh still, beside; once at a time. */
  refresh(key: string, compute: () => Promise<unknown>, options: ComputeOptions): void {
    if (this.#refreshing.has(key)) return;
    this.#refreshing.add(key);
    this.#run(this.#call(key, compute, checkComputeOptions(options), true))
      .catch((error: unknown) => this.#log.warn({ event: 'cache.refresh-failed', err: error }))
      .finally(() => this.#refreshing.delete(key));
  }

  /** Computes what is known or not, and waits for it. @throws what `compute` throws. */
  async recompute(key: string, compute: () => Promise<unknown>, options: ComputeOptions): Promise<void> {
    await this.#run(this.#call(key, compute, checkComputeOptions(options), true));
  }

  close(): void {
    this.#closing.abort();
  }

  #call(key: string, compute: () => Promise<unknown>, options: ComputeOptions, isRefresh: boolean): Call {
    const { settings } = this.#layers;
    const ttlMs = Math.max(1, Math.round((options.ttlMs ?? settings.ttlMs) * (1 - Math.random() * settings.jitter)));
    const graceMs = options.graceMs ?? settings.graceMs;
    return { key, compute, options, ttlMs, graceMs, isRefresh, made: undefined, unkept: undefined };
  }

  async #run(call: Call): Promise<unknown> {
    const { key, options, ttlMs, graceMs, isRefresh } = call;
    const { counts } = this.#layers;
    this.#engine ??= openEngine(this.#layers, this.#fetched);
    const engine = await this.#engine;
    try {
      const found = await engine.getOrSet({
        key,
        factory: (context) => this.#produce(call, context),
        ttl: ttlMs,
        grace: graceMs > 0 ? ttlMs + graceMs : false,
        graceBackoff: Math.min(backoffMs, graceMs),
        timeout: options.staleWhileRevalidate === true ? 0 : (options.softTimeoutMs ?? null),
        hardTimeout: null,
        suppressL2Errors: true,
        forceFresh: isRefresh,
      });
      if (!isRefresh) counts.note(key, this.#outcomeOf(call, found));
      if (call.unkept) return call.unkept.value;
      return isEntry(found) ? found.value : undefined;
    } catch (error) {
      if (!isRefresh) counts.note(key, 'miss');
      throw causeOf(error);
    }
  }

  #outcomeOf(call: Call, found: unknown): 'stale' | 'redis' | 'memory' | 'miss' {
    if (call.unkept || !isEntry(found) || found === call.made) return 'miss';
    if (found.expiresAt <= Date.now()) return 'stale';
    return this.#fetched.has(found) ? 'redis' : 'memory';
  }

  async #produce(call: Call, context: FactoryContext): Promise<unknown> {
    const { key, options, ttlMs, graceMs, isRefresh } = call;
    const { counts } = this.#layers;
    const { tags = [] } = options;
    const { signal } = this.#closing;
    const turn = await awaitTurn(this.#layers, key, { tags, livesMs: ttlMs + graceMs, isRefresh, signal });
    if (turn.kind === 'busy') return context.skip();
    if (turn.kind === 'done') {
      counts.shared += 1;
      this.#fetched.add(turn.entry);
      context.setOptions({ ttl: Math.max(1, turn.entry.expiresAt - Date.now()), skipL2Write: true });
      return turn.entry;
    }
    counts.computations += 1;
    let entry: ComputedEntry | undefined;
    try {
      entry = this.#entryOf(call, context, await call.compute(), turn);
    } finally {
      if (entry) turn.claim?.stop();
      else await turn.claim?.release();
    }
    call.made = entry;
    return entry ?? context.skip();
  }

  /** Undefined for what is not to be kept. */
  #entryOf(
    call: Call,
    context: FactoryContext,
    value: unknown,
    { since, claim }: { readonly since: number; readonly claim: { readonly token: string } | undefined },
  ): ComputedEntry | undefined {
    const { key, options, graceMs } = call;
    const { settings, counts } = this.#layers;
    if (options.keepIf?.(asAsked(value)) === false) {
      call.unkept = { value };
      return undefined;
    }
    const isNothing = value === null || value === undefined;
    const ttlMs = isNothing ? Math.min(call.ttlMs, options.negativeTtlMs ?? settings.negativeTtlMs) : call.ttlMs;
    if (ttlMs > 0) {
      try {
        context.setTtl(ttlMs);
        const life = { tags: options.tags ?? [], ttlMs, graceMs: isNothing ? 0 : graceMs };
        return { ...this.#layers.newEntry(value, life, since), token: claim?.token };
      } catch (error) {
        if (!(error instanceof Unserialisable)) throw error;
        counts.unserialisable += 1;
        this.#log.warn({ event: 'cache.unserialisable', entity: key.split(':', 1)[0], path: error.path, err: error });
      }
    }
    call.unkept = { value };
    return undefined;
  }
}

/** Who asks whether to keep it knows what is computed. */
const asAsked = (value: unknown): never => value as never;

/** What the source threw, from what bentocache wraps around it. */
const causeOf = (error: unknown): unknown =>
  error instanceof Error && 'isBackgroundFactory' in error && error.cause !== undefined ? error.cause : error;
