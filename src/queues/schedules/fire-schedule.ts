import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import { planFires, type FirePlan } from './plan-fires.ts';
import { scheduleColumns, type ScheduleRow } from './schedule-row.ts';

/** A job that a schedule asks for. */
export interface ScheduledJob {
  readonly name: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly scheduleName: string;
}

/** Accepts a job in the given transaction and answers its id. */
export type EnqueueScheduled = (tx: Transaction, job: ScheduledJob) => Promise<string>;

export interface FireParts {
  readonly postgres: Postgres;
  readonly enqueue: EnqueueScheduled;
  readonly now: () => Date;
  readonly onTimeMs: number;
}

export interface Fired {
  readonly fires: readonly Date[];
  readonly truncated: boolean;
}

const nothing: Fired = { fires: [], truncated: false };

/** The plan's fires that no scheduler has made yet. */
const stillToFire = async (tx: Transaction, name: string, plan: FirePlan): Promise<readonly Date[]> => {
  const { rows } = await tx.query<{ fire_at: Date }>(
    'SELECT fire_at FROM treadle.schedule_fires WHERE schedule_name = $1 AND fire_at = ANY ($2)',
    [name, plan.fires],
  );
  const made = new Set(rows.map(({ fire_at }) => fire_at.getTime()));
  return plan.fires.filter((time) => !made.has(time.getTime()));
};

const enqueueFires = async (
  tx: Transaction,
  row: ScheduleRow,
  times: readonly Date[],
  enqueue: EnqueueScheduled,
): Promise<void> => {
  const { job_name: name, payload, options, name: scheduleName } = row;
  for (const time of times) {
    const jobId = await enqueue(tx, { name, payload, options, scheduleName });
    await tx.query('INSERT INTO treadle.schedule_fires (schedule_name, fire_at, job_id) VALUES ($1, $2, $3)', [
      scheduleName,
      time,
      jobId,
    ]);
  }
};

/**
 * Fires a schedule if it is due, in one transaction: its jobs, their rows of treadle.schedule_fires and the schedule's
 * own row commit together. Holds the schedule's row meanwhile, so of several schedulers one fires and the others find
 * nothing due. Answers the fire times that got a job.
 * @throws whatever `enqueue` throws, such as VALIDATION_ERROR for a payload that no longer fits; nothing is changed then.
 */
export const fireSchedule = (name: string, { postgres, enqueue, now, onTimeMs }: FireParts): Promise<Fired> =>
  postgres.transaction(
    async (tx) => {
      const { rows } = await tx.query<ScheduleRow & Record<string, unknown>>(
        `SELECT ${scheduleColumns} FROM treadle.schedules WHERE name = $1 FOR NO KEY UPDATE`,
        [name],
      );
      const [row] = rows;
      if (!row || row.paused) return nothing;
      const timing = { cron: row.cron, timeZone: row.time_zone, misfire: row.misfire };
      const plan = planFires(timing, row.settled_until, now(), onTimeMs);
      if (!plan) return nothing;
      const fires = await stillToFire(tx, name, plan);
      await enqueueFires(tx, row, fires, enqueue);
      await tx.query(
        'UPDATE treadle.schedules SET settled_until = $2, last_fire_at = coalesce($3, last_fire_at) WHERE name = $1',
        [name, plan.settledUntil, plan.fires.at(-1) ?? null],
      );
      return { fires, truncated: plan.truncated };
    },
    { name: 'schedule.fire' },
  );
