import { Distribution } from '../../lib/telemetry/metric-values.ts';

/** Each bucket is a tenth wider than the one before: 1 ms to 57 s. */
const bounds = Array.from({ length: 116 }, (_, index) => 1.1 ** index);

/** The buckets, for a store that counts by itself: each from its first time up to, but without, the next bucket's. */
export const responseTimeRanges = Array.from({ length: bounds.length + 1 }, (_, bucket) => {
  const [from, to] = [bounds[bucket - 1], bounds[bucket]];
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
});

/** Counts response times, in milliseconds, by bucket. */
export const countResponseTimes = (timesMs: Iterable<number>): readonly number[] => {
  const distribution = new Distribution(bounds);
  for (const timeMs of timesMs) distribution.observe(timeMs);
  return distribution.counts;
};

/** Adds counts up, bucket by bucket. */
export const addCounts = (all: readonly (readonly number[])[]): readonly number[] =>
  Array.from({ length: bounds.length + 1 }, (_, bucket) => all.reduce((sum, counts) => sum + (counts[bucket] ?? 0), 0));

/** The time, in milliseconds, that `share` of the counted ones did not exceed; within a bucket they count as evenly spread. */
export const percentileOfCounts = (counts: readonly number[], share: number): number => {
  const rank = Math.ceil(counts.reduce((sum, count) => sum + count, 0) * share);
  let below = 0;
  for (const [bucket, count] of counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const lower = bucket === 0 ? 0 : (bounds[bucket - 1] ?? 0);
      const upper = bounds[bucket] ?? lower;
      return lower + ((upper - lower) * (rank - below)) / count;
    }
    below += count;
  }
  return Number.NaN;
};
