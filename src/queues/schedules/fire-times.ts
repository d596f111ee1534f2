import { cronTimes } from './cron-times.ts';
import type { IntervalTiming, Timing } from './timing.ts';

const intervalTimes = function* ({ everyMs, anchorAt }: IntervalTiming, afterMs: number): Generator<number, void> {
  const anchorMs = anchorAt.getTime();
  for (let count = Math.max(0, Math.floor((afterMs - anchorMs) / everyMs) + 1); ; count += 1) {
    yield anchorMs + count * everyMs;
  }
};

const timesAfter = (timing: Timing, afterMs: number): Iterable<number> => {
  if ('cron' in timing) return cronTimes(timing, afterMs);
  if ('everyMs' in timing) return intervalTimes(timing, afterMs);
  return timing.at.getTime() > afterMs ? [timing.at.getTime()] : [];
};

/** The fire times after `after` up to and including `until`, oldest first, at most `limit`. */
export const fireTimesBetween = (timing: Timing, after: Date, until: Date, limit: number): readonly Date[] => {
  const found: Date[] = [];
  if (after >= until || limit <= 0) return found;
  for (const time of timesAfter(timing, after.getTime())) {
    if (time > until.getTime()) break;
    found.push(new Date(time));
    if (found.length >= limit) break;
  }
  return found;
};

const endOfTime = new Date(8_640_000_000_000_000);

/** The next `limit` fire times after `after`; fewer when no more come. */
export const nextFireTimes = (timing: Timing, after: Date, limit: number): readonly Date[] =>
  fireTimesBetween(timing, after, endOfTime, limit);

/** The latest fire time after `after` up to and including `until`, found by halving: between them there may be millions. */
const latestFireTime = (timing: Timing, after: Date, until: Date): Date | undefined => {
  let [before, last] = [after.getTime(), until.getTime()];
  const isAny = (from: number): boolean => fireTimesBetween(timing, new Date(from), new Date(last), 1).length > 0;
  if (!isAny(before)) return undefined;
  while (last - before > 1) {
    const middle = Math.floor((before + last) / 2);
    if (isAny(middle)) before = middle;
    else last = middle;
  }
  return new Date(last);
};

/** The latest fire times after `after` up to and including `until`, oldest first, at most `limit`. */
export const latestFireTimes = (timing: Timing, after: Date, until: Date, limit: number): readonly Date[] => {
  const latest = latestFireTime(timing, after, until);
  if (!latest) return [];
  for (let spanMs = 60_000; ; spanMs *= 4) {
    const from = new Date(Math.max(after.getTime(), latest.getTime() - spanMs));
    const found = fireTimesBetween(timing, from, latest, Number.POSITIVE_INFINITY);
    if (found.length >= limit || from <= after) return found.slice(-limit);
  }
};
