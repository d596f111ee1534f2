import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CacheManager } from '../../../src/lib/cache/cache-manager.ts';
import { describeEachCache } from './each-cache.ts';

const keys = ['m:0', 'm:1', 'm:2'] as const;
const key = fc.constantFrom(...keys);
const process = fc.nat({ max: 1 });
const ms = fc.nat({ max: 4 });

type Step =
  | { readonly kind: 'read'; readonly key: (typeof keys)[number]; readonly process: number; readonly ms: number }
  | {
      readonly kind: 'change';
      readonly key: (typeof keys)[number];
      readonly process: number;
      readonly by: number;
      readonly ms: number;
    }
  | { readonly kind: 'together'; readonly steps: readonly Step[] };

const single: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('read' as const), key, process, ms }),
  fc.record({ kind: fc.constant('change' as const), key, process, by: fc.nat({ max: 3 }), ms }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  single,
  fc.record({ kind: fc.constant('together' as const), steps: fc.array(single, { minLength: 2, maxLength: 6 }) }),
);

const tick = (pauseMs: number) => new Promise((resolve) => setTimeout(resolve, pauseMs));

const invalidate = (cache: CacheManager, name: string, by: number): Promise<unknown> => {
  if (by === 0) return cache.delete(name);
  if (by === 1) return cache.invalidateByTag(`tag of ${name}`);
  if (by === 2) return cache.invalidateByPattern(`${name}*`);
  return cache.invalidateByTag('all');
};

describe('against a model', () => {
  describeEachCache('a cache', (caches) => {
    test('never answers what is older than an invalidation that was acknowledged in its process', async () => {
      const opened = [await caches.open(), await caches.open()];
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
          const source = new Map<string, number>(keys.map((name) => [name, 0]));
          /** What each process has been told of each key, or, with Redis, anybody. */
          const acknowledged = [new Map<string, number>(), new Map<string, number>()];
          for (const cache of opened) await cache.invalidateByTag('all');
          const run = async (one: Step): Promise<void> => {
            if (one.kind === 'together') {
              await Promise.all(one.steps.map(run));
              return;
            }
            const cache = opened[one.process];
            const known = acknowledged[one.process];
            if (!cache || !known) throw new Error('no such process');
            if (one.kind === 'change') {
              // So that reads have begun before it.
              await tick(one.ms);
              const version = (source.get(one.key) ?? 0) + 1;
              source.set(one.key, version);
              await invalidate(cache, one.key, one.by);
              known.set(one.key, Math.max(version, known.get(one.key) ?? 0));
              return;
            }
            const least = known.get(one.key) ?? 0;
            const found = await cache.getOrCompute(
              one.key,
              async () => {
                const read = source.get(one.key) ?? 0;
                await tick(one.ms);
                return { read };
              },
              { tags: ['all', `tag of ${one.key}`] },
            );
            expect(found.read).toBeGreaterThanOrEqual(least);
          };
          for (const one of steps) await run(one);
          // Bounded staleness across processes: a moment later everybody sees what is.
          for (const cache of opened)
            for (const name of keys)
              await expect
                .poll(
                  async () => {
                    const found = await cache.getOrCompute(name, async () => ({ read: source.get(name) ?? 0 }), {
                      tags: ['all', `tag of ${name}`],
                    });
                    return found.read;
                  },
                  { timeout: 2_000, interval: 2 },
                )
                .toBe(source.get(name));
        }),
        { numRuns: 25 },
      );
    });
  });
});
