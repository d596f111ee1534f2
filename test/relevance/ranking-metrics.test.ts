import { describe, expect, it } from 'vitest';
import { mean, ndcgAt, reciprocalRankAt } from './ranking-metrics.ts';

describe('nDCG', () => {
  it('is what was worked out by hand', () => {
    // Gains 7, 3, 0, 1 at the discounts 1, 1.58496, 2, 2.32193: 7 + 1.89279 + 0.43068 = 9.32347.
    // At best 7, 7, 3, 1: 7 + 4.41651 + 1.5 + 0.43068 = 13.34718.
    expect(ndcgAt(10, [3, 2, 0, 1], [1, 3, 2, 3])).toBeCloseTo(9.323_47 / 13.347_18, 5);
  });

  it('is 1 for the best order, and less for every other', () => {
    expect(ndcgAt(10, [3, 2, 1], [1, 2, 3])).toBe(1);
    // 3 + 4.41651 + 0.5 = 7.91651 of 7 + 1.89279 + 0.5 = 9.39279.
    expect(ndcgAt(10, [2, 3, 1], [1, 2, 3])).toBeCloseTo(7.916_51 / 9.392_79, 5);
  });

  it('counts no more than its depth, of the answers and of the best order', () => {
    expect(ndcgAt(2, [0, 0, 3], [3])).toBe(0);
    expect(ndcgAt(2, [3, 3], [3, 3, 3, 3])).toBe(1);
    // 7 at the second place of two, where two could be: 4.41651 / 11.41651.
    expect(ndcgAt(2, [0, 3], [3, 3, 3])).toBeCloseTo(4.416_51 / 11.416_51, 5);
  });

  it('is 0 where nothing was found, and where nothing was judged', () => {
    expect(ndcgAt(10, [], [3, 1])).toBe(0);
    expect(ndcgAt(10, [0, 0], [])).toBe(0);
  });
});

describe('the reciprocal rank', () => {
  it('is that of the first answer that is good, not merely acceptable', () => {
    expect(reciprocalRankAt(10, [3, 2])).toBe(1);
    expect(reciprocalRankAt(10, [1, 0, 2])).toBeCloseTo(1 / 3, 10);
  });

  it('is 0 where none is, or only deeper', () => {
    expect(reciprocalRankAt(10, [1, 1])).toBe(0);
    expect(reciprocalRankAt(2, [0, 0, 3])).toBe(0);
  });
});

it('the mean of nothing is 0', () => {
  expect([mean([]), mean([1, 0, 0.5])]).toEqual([0, 0.5]);
});
