import { Cron } from 'croner';
import type { CronFields } from './cron-fields.ts';

/** The readings of a clock that match a cron expression, each written as if it were UTC, in milliseconds since 1970. */
export interface WallTimes {
  /** The first later than `afterMs`; undefined when there is none. */
  next(afterMs: number): number | undefined;
}

/**
 * What a clock shows when the expression matches, on a calendar without daylight saving.
 * @throws Error for fields that are not understood.
 */
export const wallTimes = (fields: CronFields): WallTimes => {
  const cron = new Cron(fields.join(' '), { utcOffset: 0, mode: '6-part' });
  return { next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() };
};

const hourMs = 3_600_000;

/** Whether an hour field names all 24 hours. */
export const isEveryHour = (hour: string): boolean => {
  if (hour === '*') return true;
  const hours = wallTimes(['0', '0', hour, '*', '*', '*']);
  for (let at = 0; at < 24; at += 1) {
    if (hours.next(at * hourMs - 1) !== at * hourMs) return false;
  }
  return true;
};
