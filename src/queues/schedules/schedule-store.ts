import { AppError, notFound, validationError } from '../../lib/errors/app-error.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Schedule, ScheduleInput, ScheduleStore } from '../ports.ts';
import { checkSchedule, type CheckedSchedule, type FindContract } from './check-schedule.ts';
import { announceSchedule } from './schedules-channel.ts';
import { scheduleColumns, scheduleOf, type ScheduleRow } from './schedule-row.ts';

export interface ScheduleStoreParts {
  readonly postgres: Postgres;
  readonly findContract: FindContract;
  readonly now?: () => Date;
}

const upsert = `
  INSERT INTO treadle.schedules AS known
    (name, job_name, payload, options, cron, time_zone, misfire, paused, settled_until)
  VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, false), $9)
  ON CONFLICT (name) DO UPDATE SET
    job_name = excluded.job_name, payload = excluded.payload, options = excluded.options, cron = excluded.cron,
    time_zone = excluded.time_zone, misfire = excluded.misfire, paused = coalesce($8, known.paused),
    settled_until = CASE
      WHEN (known.cron, known.time_zone) <> (excluded.cron, excluded.time_zone) OR (known.paused AND NOT $8)
      THEN excluded.settled_until ELSE known.settled_until END,
    updated_at = now()
  RETURNING ${scheduleColumns}`;

const pauseBuiltIn = `
  UPDATE treadle.schedules SET paused = $2,
    settled_until = CASE WHEN paused AND NOT $2 THEN $3 ELSE settled_until END, updated_at = now()
  WHERE name = $1
  RETURNING ${scheduleColumns}`;

const findForUpdate = async (tx: Queryable, name: string): Promise<ScheduleRow | undefined> => {
  const { rows } = await tx.query<ScheduleRow & Record<string, unknown>>(
    `SELECT ${scheduleColumns} FROM treadle.schedules WHERE name = $1 FOR NO KEY UPDATE`,
    [name],
  );
  return rows[0];
};

/** What of a built-in schedule the caller wants to be other than the code says. */
const changesOf = async (tx: Queryable, known: ScheduleRow, input: ScheduleInput): Promise<readonly string[]> => {
  const { rows } = await tx.query<{ payload: boolean; options: boolean }>(
    'SELECT payload IS DISTINCT FROM $2::jsonb AS payload, options IS DISTINCT FROM $3::jsonb AS options FROM treadle.schedules WHERE name = $1',
    [known.name, JSON.stringify(input.payload ?? known.payload), JSON.stringify(input.options ?? known.options)],
  );
  return [
    ...(input.jobName === known.job_name ? [] : ['jobName']),
    ...(rows[0]?.payload ? ['payload'] : []),
    ...(rows[0]?.options ? ['options'] : []),
    ...(input.cron === known.cron ? [] : ['cron']),
    ...((input.timeZone ?? known.time_zone) === known.time_zone ? [] : ['timeZone']),
    ...((input.misfire ?? known.misfire) === known.misfire ? [] : ['misfire']),
  ];
};

const putBuiltIn = async (
  tx: Queryable,
  known: ScheduleRow,
  input: ScheduleInput,
  now: Date,
): Promise<ScheduleRow | undefined> => {
  const changed = await changesOf(tx, known, input);
  if (changed.length > 0) {
    throw validationError(
      `the schedule ${JSON.stringify(known.name)}`,
      changed.map((path) => ({
        path,
        message: 'is set by the code of a built-in schedule; only paused can be changed',
      })),
    );
  }
  const { rows } = await tx.query<ScheduleRow & Record<string, unknown>>(pauseBuiltIn, [
    known.name,
    input.paused ?? known.paused,
    now,
  ]);
  return rows[0];
};

const putOwn = async (tx: Queryable, checked: CheckedSchedule, now: Date): Promise<ScheduleRow | undefined> => {
  const { rows } = await tx.query<ScheduleRow & Record<string, unknown>>(upsert, [
    checked.name,
    checked.jobName,
    checked.payloadJson,
    checked.optionsJson,
    checked.cron,
    checked.timeZone,
    checked.misfire,
    checked.paused ?? null,
    now,
  ]);
  return rows[0];
};

/**
 * Schedules as rows of Postgres. `put` replaces a schedule whole, except that `paused` stays as it is when it is not
 * given, and throws VALIDATION_ERROR naming every fault; `remove` throws NOT_FOUND. Of a built-in schedule only `paused`
 * can be changed. Running schedulers learn of a change when it commits.
 */
export const createScheduleStore = ({
  postgres,
  findContract,
  now = () => new Date(),
}: ScheduleStoreParts): ScheduleStore => ({
  async list(): Promise<readonly Schedule[]> {
    const { rows } = await postgres.query<ScheduleRow & Record<string, unknown>>(
      `SELECT ${scheduleColumns} FROM treadle.schedules ORDER BY name`,
    );
    return rows.map((row) => scheduleOf(row, now()));
  },

  async find(name: string): Promise<Schedule | undefined> {
    const { rows } = await postgres.query<ScheduleRow & Record<string, unknown>>(
      `SELECT ${scheduleColumns} FROM treadle.schedules WHERE name = $1`,
      [name],
    );
    return rows[0] && scheduleOf(rows[0], now());
  },

  async put(name: string, input: ScheduleInput): Promise<Schedule> {
    const checked = checkSchedule(name, input, findContract);
    return postgres.transaction(
      async (tx) => {
        const known = await findForUpdate(tx, name);
        const at = now();
        const row = known?.built_in ? await putBuiltIn(tx, known, input, at) : await putOwn(tx, checked, at);
        if (!row) throw new AppError('INTERNAL_ERROR', 'the schedule was not stored', {});
        await announceSchedule(tx, name);
        return scheduleOf(row, at);
      },
      { name: 'schedule.put' },
    );
  },

  remove(name: string): Promise<void> {
    return postgres.transaction(
      async (tx) => {
        const known = await findForUpdate(tx, name);
        if (!known) throw notFound('schedule', name);
        if (known.built_in) {
          throw new AppError('DATA_CONSISTENCY_ERROR', 'a built-in schedule can be paused, not removed', {
            entity: 'schedule',
            entityId: name,
          });
        }
        await tx.query('DELETE FROM treadle.schedules WHERE name = $1', [name]);
        await announceSchedule(tx, name);
      },
      { name: 'schedule.remove' },
    );
  },
});
