import { expect, test } from 'vitest';
import { backoffMs } from '../../../src/workers/runtime/backoff.ts';

test('a fixed backoff stays, an exponential one doubles up to its limit', () => {
  const fixed = [1, 2, 50].map((attempt) => backoffMs({ type: 'fixed', delayMs: 100 }, attempt));
  expect(fixed).toEqual([100, 100, 100]);
  const doubling = { type: 'exponential', delayMs: 100, maxDelayMs: 1_000 } as const;
  expect([1, 2, 3, 4, 5, 1_000].map((attempt) => backoffMs(doubling, attempt))).toEqual([
    100, 200, 400, 800, 1_000, 1_000,
  ]);
});

test('without a limit of its own an exponential backoff ends at a day', () => {
  expect(backoffMs({ type: 'exponential', delayMs: 1_000 }, 1_000)).toBe(86_400_000);
});

test('jitter takes away at most its share', () => {
  const jittered = { type: 'fixed', delayMs: 1_000, jitter: 0.5 } as const;
  expect(backoffMs(jittered, 1, 0)).toBe(1_000);
  expect(backoffMs(jittered, 1, 0.5)).toBe(750);
  expect(backoffMs(jittered, 1, 0.999)).toBeGreaterThanOrEqual(500);
});
