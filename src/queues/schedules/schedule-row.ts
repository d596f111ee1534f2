import type { Schedule } from '../ports.ts';
import { nextFireTime } from './fire-times.ts';

/** A row of treadle.schedules, as much of it as schedules are made of. */
export interface ScheduleRow {
  readonly name: string;
  readonly job_name: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly cron: string;
  readonly time_zone: string;
  readonly misfire: 'skip' | 'once' | 'all';
  readonly paused: boolean;
  readonly built_in: boolean;
  readonly last_fire_at: Date | null;
  readonly settled_until: Date;
}

export const scheduleColumns =
  'name, job_name, payload, options, cron, time_zone, misfire, paused, built_in, last_fire_at, settled_until';

/** Null while paused, and for a schedule written by SQL whose timing cannot be understood. */
const nextFireAt = (row: ScheduleRow, now: Date): Date | null => {
  if (row.paused) return null;
  try {
    return nextFireTime({ cron: row.cron, timeZone: row.time_zone }, row.settled_until, now);
  } catch {
    return null;
  }
};

export const scheduleOf = (row: ScheduleRow, now: Date): Schedule => ({
  name: row.name,
  jobName: row.job_name,
  payload: row.payload,
  options: row.options,
  cron: row.cron,
  timeZone: row.time_zone,
  misfire: row.misfire,
  paused: row.paused,
  builtIn: row.built_in,
  lastFireAt: row.last_fire_at,
  nextFireAt: nextFireAt(row, now),
});
