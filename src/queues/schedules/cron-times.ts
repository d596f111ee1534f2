import { cronFields } from './cron-fields.ts';
import type { CronTiming } from './timing.ts';
import { isEveryHour, wallTimes } from './wall-times.ts';
import { zoneClock, type ZoneClock } from './zone-clock.ts';

const dayMs = 86_400_000;
const horizonMs = 7 * dayMs;

/** A stretch of time, and what has to be taken from the readings of a clock to get the moments in it. */
interface Stretch {
  readonly untilMs: number;
  /** One, as a rule; two behind a gap, for the times that fell into it; none in a repeated hour that does not count. */
  readonly offsets: readonly number[];
  /** Whether clocks change at its end. */
  readonly endsWithChange: boolean;
}

/** What holds from `fromMs` on. */
const stretchFrom = (clock: ZoneClock, fromMs: number, isHourly: () => boolean): Stretch => {
  const last = clock.changeBetween(fromMs - dayMs, fromMs);
  if (last) {
    const untilMs = last.atMs + Math.abs(last.afterMs - last.beforeMs);
    if (fromMs < untilMs) {
      const unlessHourly = last.afterMs > last.beforeMs ? [last.afterMs, last.beforeMs] : [];
      return { untilMs, offsets: isHourly() ? [last.afterMs] : unlessHourly, endsWithChange: false };
    }
  }
  const next = clock.changeBetween(fromMs, fromMs + horizonMs);
  return {
    untilMs: next?.atMs ?? fromMs + horizonMs,
    offsets: [clock.offsetAt(fromMs)],
    endsWithChange: next !== undefined,
  };
};

/**
 * The moments after `afterMs` at which a cron expression fires, oldest first, in milliseconds since 1970; for ever, or
 * until none is left. Each reading of the clock that matches fires once, also where clocks change: one that is skipped
 * fires as far behind the gap as it lay behind the gap's begin, and one that comes twice fires the first time. An
 * expression for every hour instead fires whenever the clock shows a matching time, however often that is.
 * @throws Error for an expression that is not understood, RangeError for an unknown time zone.
 */
export const cronTimes = function* ({ cron, timeZone }: CronTiming, afterMs: number): Generator<number, void> {
  const fields = cronFields(cron);
  if (!fields) throw new Error('a cron expression has 5 or 6 fields');
  const walls = wallTimes(fields);
  const clock = zoneClock(timeZone);
  const isHourly = (): boolean => isEveryHour(fields[2]);
  for (let atMs = afterMs; ;) {
    const { untilMs, offsets, endsWithChange } = stretchFrom(clock, atMs + 1, isHourly);
    const nextOf = (): number =>
      Math.min(...offsets.map((offset) => (walls.next(atMs + offset) ?? Number.POSITIVE_INFINITY) - offset));
    let next = nextOf();
    while (next < untilMs) {
      yield next;
      atMs = next;
      next = nextOf();
    }
    if (next === Number.POSITIVE_INFINITY && offsets.length > 0) return;
    // Nothing can fire long before a reading that no other comes before, wherever its zone's clocks stand.
    const isFar = offsets.length > 0 && !endsWithChange;
    atMs = Math.max(untilMs - 1, isFar ? next - 2 * dayMs : 0);
  }
};
