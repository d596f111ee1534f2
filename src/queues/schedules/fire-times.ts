import { CronExpressionParser } from 'cron-parser';

/** When a schedule fires. */
export interface Timing {
  readonly cron: string;
  readonly timeZone: string;
}

const fireTimes = function* (timing: Timing, after: Date): Generator<Date, void> {
  const expression = CronExpressionParser.parse(timing.cron, { currentDate: after, tz: timing.timeZone });
  for (;;) yield expression.next().toDate();
};

/**
 * The fire times after `after` up to and including `until`, oldest first, at most `limit`. Where clocks are put forward,
 * a time that does not exist is replaced by the one as far behind the gap; where they are put back, a fixed hour fires
 * the first time it comes, and an expression for every hour goes on with the hours that pass.
 */
export const fireTimesBetween = (timing: Timing, after: Date, until: Date, limit: number): readonly Date[] => {
  const found: Date[] = [];
  for (const time of fireTimes(timing, after)) {
    if (time > until || found.length >= limit) break;
    found.push(time);
  }
  return found;
};

const maxSteps = 1_000;

/**
 * The first fire time behind `now`. Counts from `settledUntil`, a fire time, while that is near enough: to start in the
 * middle of a repeated hour would see its times for the first time.
 */
export const nextFireTime = (timing: Timing, settledUntil: Date, now: Date): Date | null => {
  let steps = 0;
  for (const time of fireTimes(timing, settledUntil)) {
    if (time > now) return time;
    steps += 1;
    if (steps >= maxSteps) break;
  }
  for (const time of fireTimes(timing, now)) return time;
  return null;
};
