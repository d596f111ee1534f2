import type { Queryable } from '../../lib/postgres/queryable.ts';
import { fireTimesBetween } from './fire-times.ts';
import { scheduleColumns, timingOf, type ScheduleRow } from './schedule-row.ts';

/** A fire that nobody dealt with for so long is late. */
const lateAfterMs = 60_000;

const isLate = (row: ScheduleRow, now: Date): boolean => {
  try {
    const until = new Date(now.getTime() - lateAfterMs);
    return fireTimesBetween(timingOf(row), row.settled_until, until, 1).length > 0;
  } catch {
    // Plain SQL made nonsense of it: it never fires.
    return true;
  }
};

/** How many schedules have a fire behind them for more than a minute that no scheduler has dealt with. */
export const countLateSchedules = async (db: Queryable, now: Date): Promise<number> => {
  const { rows } = await db.query<ScheduleRow & Record<string, unknown>>(
    `SELECT ${scheduleColumns} FROM treadle.schedules WHERE NOT paused`,
  );
  return rows.filter((row) => isLate(row, now)).length;
};
