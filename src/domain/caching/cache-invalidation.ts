import { z } from 'zod';
import type { CacheManager } from '../../lib/cache/cache-manager.ts';
import { readPattern } from '../../lib/cache/key-pattern.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { eventsOf, invalidationsOf, type CacheChange } from './cache-change.ts';
import { DependencyGraph } from './dependency-graph.ts';

/** When one of these events happens, entries of this pattern and these keys no longer hold. */
export interface InvalidationRule {
  readonly id: string;
  readonly pattern?: string | RegExp;
  readonly triggers: readonly string[];
  readonly dependencies?: readonly string[];
  readonly enabled?: boolean;
}

export interface CacheInvalidationParts {
  readonly cache: CacheManager;
  readonly log: Log;
  /** Hears of events of an app's own from now on; answers how to stop. */
  readonly follow: (type: string, heard: () => Promise<unknown>) => Promise<() => void>;
}

export interface WarmItem {
  readonly key: string;
  readonly compute: () => Promise<unknown>;
  readonly ttlMs?: number;
}

export interface WarmingSetup {
  readonly enabled: boolean;
  /** 5 min by default. */
  readonly intervalMs?: number;
  readonly items: readonly WarmItem[];
}

const ruleSchema = z.object({
  id: z.string().min(1).max(200),
  triggers: z.array(z.string().min(1).max(200)).min(1).max(100),
  dependencies: z.array(z.string().min(1)).max(1_000).optional(),
});
const warmingSchema = z.object({
  enabled: z.boolean(),
  items: z.array(z.object({ key: z.string().min(1), compute: z.function(), ttlMs: z.number().optional() })),
  intervalMs: z.int().min(1_000).max(86_400_000).default(300_000),
});

/** These are told with the changes themselves, whoever makes them. */
const ownEvents: ReadonlySet<string> = new Set(eventsOf({ kind: 'everything' }));

/** Says what no longer holds: by tag, by pattern, by what depends on it, and by what has happened. */
export class CacheInvalidation {
  readonly #cache: CacheManager;
  readonly #log: Log;
  readonly #graph = new DependencyGraph();
  readonly #rules = new Map<string, InvalidationRule>();
  readonly #follow: CacheInvalidationParts['follow'];
  /** Types of an app's own events that are followed, with how to stop. */
  readonly #followed = new Map<string, Promise<() => void>>();
  #warming: NodeJS.Timeout | undefined;

  constructor({ cache, log, follow }: CacheInvalidationParts) {
    this.#cache = cache;
    this.#log = log;
    this.#follow = follow;
  }

  /** See {@link CacheManager.invalidate}. */
  invalidateByTag(tag: string): Promise<boolean> {
    return this.#cache.invalidateByTag(tag);
  }

  /** A glob or an expression. @throws AppError VALIDATION_ERROR for one that takes too long. */
  invalidateByPattern(pattern: string | RegExp): Promise<boolean> {
    return this.#cache.invalidateByPattern(pattern);
  }

  /** The key, and all that depend on it. */
  invalidateByDependency(parent: string): Promise<boolean> {
    return this.#cache.invalidate({ keys: [parent, ...this.#graph.of(parent)] });
  }

  /** @throws AppError VALIDATION_ERROR for a cycle. */
  registerDependency(parent: string, dependent: string): void {
    this.#graph.add(parent, dependent);
  }

  /** Each key with those that depend on it directly. */
  getDependencyGraph(): ReadonlyMap<string, readonly string[]> {
    return this.#graph.entries();
  }

  /**
   * Takes the place of the rule with this id. It hears of changes of documents, tags, collections, users and workspaces, and of
   * events that an app publishes from when this resolves.
   * @throws AppError VALIDATION_ERROR.
   */
  async registerRule(rule: InvalidationRule): Promise<void> {
    parseOrThrow(ruleSchema, rule, 'the rule');
    if (rule.pattern !== undefined) readPattern(rule.pattern);
    this.#rules.set(rule.id, rule);
    await Promise.all(rule.triggers.filter((type) => !ownEvents.has(type)).map((type) => this.#hear(type)));
  }

  getRules(): readonly InvalidationRule[] {
    return [...this.#rules.values()];
  }

  /** Something has happened: applies the rules for it. False: some could not be told everywhere yet. */
  async handleEvent(type: string): Promise<boolean> {
    let reached = true;
    for (const { id, pattern, triggers, dependencies = [], enabled = true } of this.#rules.values()) {
      if (!enabled || !triggers.includes(type)) continue;
      try {
        const keys = dependencies.flatMap((key) => [key, ...this.#graph.of(key)]);
        if (keys.length > 0) reached = (await this.#cache.invalidate({ keys })) && reached;
        if (pattern !== undefined) reached = (await this.#cache.invalidateByPattern(pattern)) && reached;
      } catch (error) {
        // One rule that is too slow does not keep the others from their work.
        this.#log.warn({ event: 'cache.rule-failed', rule: id, err: error });
        reached = false;
      }
    }
    return reached;
  }

  /** Something was committed. `tell`: see {@link CacheManager.invalidate}. False: not everybody could be told yet. */
  async handleChange(change: CacheChange, { tell = true }: { readonly tell?: boolean } = {}): Promise<boolean> {
    let reached = true;
    for (const invalidation of invalidationsOf(change))
      reached = (await this.#cache.invalidate(invalidation, { tell })) && reached;
    return (await this.triggerRules(change)) && reached;
  }

  /** As {@link handleChange}, of which entries were told already. */
  async triggerRules(change: CacheChange): Promise<boolean> {
    if (this.#rules.size === 0) return true;
    let reached = true;
    for (const type of eventsOf(change)) reached = (await this.handleEvent(type)) && reached;
    return reached;
  }

  /** Computes these entries now, and again and again; in place of those set up before. @throws AppError VALIDATION_ERROR. */
  setupCacheWarming(setup: WarmingSetup): void {
    const { enabled, intervalMs } = parseOrThrow(warmingSchema, setup, 'the warming');
    const { items } = setup;
    clearInterval(this.#warming);
    this.#warming = undefined;
    if (!enabled) return;
    const warm = async (): Promise<void> => {
      for (const { key, compute, ttlMs } of items) {
        await this.warmCacheEntry(key, compute, ttlMs).catch((error: unknown) =>
          this.#log.warn({ event: 'cache.warming-failed', entity: key.split(':', 1)[0], err: error }),
        );
      }
    };
    this.#warming = setInterval(() => void warm(), intervalMs).unref();
    void warm();
  }

  /** Computes an entry, whether it is known or not. @throws what `compute` throws; AppError VALIDATION_ERROR. */
  warmCacheEntry(key: string, compute: () => Promise<unknown>, ttlMs?: number): Promise<void> {
    return this.#cache.recompute(key, compute, ttlMs === undefined ? {} : { ttlMs });
  }

  close(): void {
    clearInterval(this.#warming);
    for (const stop of this.#followed.values()) {
      stop.then(
        (end) => end(),
        () => undefined,
      );
    }
  }

  async #hear(type: string): Promise<void> {
    const followed = this.#followed.get(type) ?? this.#follow(type, () => this.handleEvent(type));
    this.#followed.set(type, followed);
    try {
      await followed;
    } catch (error) {
      this.#followed.delete(type);
      throw error;
    }
  }
}

/** For who may go on only when everybody was told. @throws AppError SERVICE_UNAVAILABLE. */
export const requireReached = (reached: boolean): void => {
  if (reached) return;
  throw new AppError('SERVICE_UNAVAILABLE', 'the cache cannot be told what has changed', { service: 'cache' });
};
