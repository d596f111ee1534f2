import { AppError, notFound, validationError } from '../../lib/errors/app-error.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import type { AcceptedJob, ScheduleInput, ScheduleStore } from '../ports.ts';
import type { JobRegistry } from '../job-registry.ts';
import { acceptScheduledJobs } from './accept-scheduled-jobs.ts';
import { checkBuiltInUnchanged } from './check-built-in.ts';
import { checkSchedule, type CheckedSchedule } from './check-schedule.ts';
import { pageOfFires, recordRunByHand } from './schedule-fires.ts';
import { findForUpdate, nextFiresOf, scheduleColumns, scheduleOf, type ScheduleRow } from './schedule-row.ts';
import { announceSchedule } from './schedules-channel.ts';
import { upsertSchedule } from './upsert-schedule.ts';

export interface ScheduleStoreParts {
  readonly postgres: Postgres;
  readonly registry: JobRegistry;
  readonly now?: () => Date;
}

const maxNext = 100;

const known = async (tx: Transaction, name: string): Promise<ScheduleRow> => {
  const row = await findForUpdate(tx, name);
  if (!row) throw notFound('schedule', name);
  return row;
};

const setPaused = async (tx: Transaction, name: string, paused: boolean, now: Date): Promise<ScheduleRow> => {
  const { paused: before } = await known(tx, name);
  if (before !== paused) {
    await tx.query(
      `UPDATE treadle.schedules SET paused = $2, settled_until = CASE WHEN $2 THEN settled_until ELSE $3 END, updated_at = now()
       WHERE name = $1`,
      [name, paused, now],
    );
    await announceSchedule(tx, name);
  }
  return known(tx, name);
};

const put = async (tx: Transaction, checked: CheckedSchedule, now: Date): Promise<ScheduleRow> => {
  const before = await findForUpdate(tx, checked.name);
  if (before?.built_in) {
    await checkBuiltInUnchanged(tx, before, checked);
    return setPaused(tx, checked.name, checked.paused ?? before.paused, now);
  }
  await upsertSchedule(tx, checked, { builtIn: false, now });
  // Also when nothing changed: a scheduler that put the schedule off tries it again.
  await announceSchedule(tx, checked.name);
  return known(tx, checked.name);
};

const remove = async (tx: Transaction, name: string): Promise<void> => {
  const { built_in: isBuiltIn } = await known(tx, name);
  if (isBuiltIn) {
    throw new AppError('DATA_CONSISTENCY_ERROR', 'a built-in schedule can be paused, not removed', {
      entity: 'schedule',
      entityId: name,
    });
  }
  await tx.query('DELETE FROM treadle.schedules WHERE name = $1', [name]);
  await announceSchedule(tx, name);
};

const run = async (tx: Transaction, registry: JobRegistry, name: string, now: Date): Promise<AcceptedJob> => {
  const { job_name: jobName, payload, options } = await known(tx, name);
  const scheduled = { name: jobName, payload, options, scheduleName: name };
  const [job] = await acceptScheduledJobs(registry)(tx, scheduled, 1);
  if (!job) throw new AppError('INTERNAL_ERROR', 'the ledger did not answer the job it accepted', {});
  await recordRunByHand(tx, name, job.id, now);
  return job;
};

const findRow = async (db: Queryable, name: string): Promise<ScheduleRow | undefined> => {
  const { rows } = await db.query<ScheduleRow & Record<string, unknown>>(
    `SELECT ${scheduleColumns} FROM treadle.schedules WHERE name = $1`,
    [name],
  );
  return rows[0];
};

const nextFires = async (db: Queryable, name: string, limit: number, now: Date): Promise<readonly Date[]> => {
  if (!Number.isInteger(limit) || limit < 1 || limit > maxNext) {
    const message = `must be a whole number from 1 to ${maxNext}`;
    throw validationError('the fire times', [{ path: 'limit', message }]);
  }
  const row = await findRow(db, name);
  if (!row) throw notFound('schedule', name);
  return nextFiresOf(row, now, limit);
};

/**
 * Schedules as rows of Postgres. `put` replaces a schedule whole; of a built-in schedule only `paused` can be changed.
 * Running schedulers learn of a change when it commits.
 */
export const createScheduleStore = ({
  postgres,
  registry,
  now = () => new Date(),
}: ScheduleStoreParts): ScheduleStore => ({
  async list() {
    const { rows } = await postgres.query<ScheduleRow & Record<string, unknown>>(
      `SELECT ${scheduleColumns} FROM treadle.schedules ORDER BY name`,
    );
    return rows.map((row) => scheduleOf(row, now()));
  },

  async find(name) {
    const row = await findRow(postgres, name);
    return row && scheduleOf(row, now());
  },

  async put(name: string, input: ScheduleInput) {
    const stored = await findRow(postgres, name);
    const checked = checkSchedule(name, input, {
      findContract: (job) => registry.find(job),
      // The same one-off again is no news, also when its time has passed.
      isTooLate: (at) => at <= now() && at.getTime() !== stored?.at?.getTime(),
    });
    const row = await postgres.transaction((tx) => put(tx, checked, now()), { name: 'schedule.put' });
    return scheduleOf(row, now());
  },

  remove: (name) => postgres.transaction((tx) => remove(tx, name), { name: 'schedule.remove' }),

  async pause(name) {
    const row = await postgres.transaction((tx) => setPaused(tx, name, true, now()), { name: 'schedule.pause' });
    return scheduleOf(row, now());
  },

  async resume(name) {
    const row = await postgres.transaction((tx) => setPaused(tx, name, false, now()), { name: 'schedule.resume' });
    return scheduleOf(row, now());
  },

  run: (name) => postgres.transaction((tx) => run(tx, registry, name, now()), { name: 'schedule.run' }),
  nextFires: (name, limit) => nextFires(postgres, name, limit, now()),

  async fires(name, page) {
    if (!(await findRow(postgres, name))) throw notFound('schedule', name);
    return pageOfFires(postgres, name, page);
  },
});
