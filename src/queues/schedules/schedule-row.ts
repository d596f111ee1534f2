import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { MisfirePolicy, Schedule } from '../ports.ts';
import { nextFireTimes } from './fire-times.ts';
import type { Timing } from './timing.ts';

/** A row of treadle.schedules, as much of it as schedules are made of. */
export interface ScheduleRow {
  readonly name: string;
  readonly job_name: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly cron: string | null;
  readonly time_zone: string;
  readonly every_ms: number | null;
  readonly anchor_at: Date | null;
  readonly at: Date | null;
  readonly misfire: MisfirePolicy;
  readonly paused: boolean;
  readonly built_in: boolean;
  readonly last_fire_at: Date | null;
  readonly settled_until: Date;
}

export const scheduleColumns = `name, job_name, payload, options, cron, time_zone, every_ms::float8 AS every_ms, anchor_at, at,
  misfire, paused, built_in, last_fire_at, settled_until`;

/** Reads a schedule and keeps its row from others until the transaction ends. */
export const findForUpdate = async (tx: Queryable, name: string): Promise<ScheduleRow | undefined> => {
  const { rows } = await tx.query<ScheduleRow & Record<string, unknown>>(
    `SELECT ${scheduleColumns} FROM treadle.schedules WHERE name = $1 FOR NO KEY UPDATE`,
    [name],
  );
  return rows[0];
};

export const timingOf = ({ cron, time_zone, every_ms, anchor_at, at }: ScheduleRow): Timing => {
  if (cron !== null) return { cron, timeZone: time_zone };
  if (every_ms !== null && anchor_at !== null) return { everyMs: every_ms, anchorAt: anchor_at };
  if (at !== null) return { at };
  throw new Error('the schedule has no times');
};

/** The next fire times of a schedule; none while paused, nor for one written by SQL whose times cannot be understood. */
export const nextFiresOf = (row: ScheduleRow, now: Date, limit: number): readonly Date[] => {
  if (row.paused) return [];
  try {
    return nextFireTimes(timingOf(row), now, limit);
  } catch {
    return [];
  }
};

export const scheduleOf = (row: ScheduleRow, now: Date): Schedule => ({
  name: row.name,
  jobName: row.job_name,
  payload: row.payload,
  options: row.options,
  cron: row.cron,
  timeZone: row.time_zone,
  everyMs: row.every_ms,
  anchorAt: row.anchor_at,
  at: row.at,
  misfire: row.misfire,
  paused: row.paused,
  builtIn: row.built_in,
  lastFireAt: row.last_fire_at,
  nextFireAt: nextFiresOf(row, now, 1)[0] ?? null,
});
