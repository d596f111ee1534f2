import { validationError } from '../../lib/errors/app-error.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { CheckedSchedule } from './check-schedule.ts';
import type { ScheduleRow } from './schedule-row.ts';

const isSameTime = (one: Date | null, other: Date | null): boolean => one?.getTime() === other?.getTime();

/** What of a built-in schedule the caller wants to be other than the code says. */
const changesOf = async (tx: Queryable, known: ScheduleRow, wanted: CheckedSchedule): Promise<readonly string[]> => {
  const { rows } = await tx.query<{ payload: boolean; options: boolean }>(
    `SELECT payload IS DISTINCT FROM $2::jsonb AS payload, options IS DISTINCT FROM $3::jsonb AS options
     FROM treadle.schedules WHERE name = $1`,
    [known.name, wanted.payloadJson, wanted.optionsJson],
  );
  const changed = {
    jobName: wanted.jobName !== known.job_name,
    payload: rows[0]?.payload === true,
    options: rows[0]?.options === true,
    cron: wanted.cron !== known.cron,
    timeZone: wanted.timeZone !== known.time_zone,
    everyMs: wanted.everyMs !== known.every_ms,
    anchorAt: wanted.anchorAt !== null && !isSameTime(wanted.anchorAt, known.anchor_at),
    at: !isSameTime(wanted.at, known.at),
    misfire: wanted.misfire !== known.misfire,
  };
  return Object.entries(changed).flatMap(([path, isChanged]) => (isChanged ? [path] : []));
};

/**
 * Refuses to make a built-in schedule other than the code says.
 * @throws AppError VALIDATION_ERROR naming every field that differs.
 */
export const checkBuiltInUnchanged = async (
  tx: Queryable,
  known: ScheduleRow,
  wanted: CheckedSchedule,
): Promise<void> => {
  const changed = await changesOf(tx, known, wanted);
  if (changed.length === 0) return;
  throw validationError(
    `the schedule ${JSON.stringify(known.name)}`,
    changed.map((path) => ({ path, message: 'is set by the code of a built-in schedule; only paused can be changed' })),
  );
};
