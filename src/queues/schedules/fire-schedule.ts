import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import type { AcceptScheduled } from './accept-scheduled-jobs.ts';
import { planFires } from './plan-fires.ts';
import { recordFires } from './schedule-fires.ts';
import { findForUpdate, timingOf, type ScheduleRow } from './schedule-row.ts';

export interface FireParts {
  readonly postgres: Postgres;
  readonly accept: AcceptScheduled;
  readonly now: () => Date;
  readonly onTimeMs: number;
}

export interface Fired {
  /** The schedule as it is now; undefined when it is gone or paused. */
  readonly row: ScheduleRow | undefined;
  readonly fires: readonly Date[];
  readonly dropped: readonly Date[];
  readonly truncated: boolean;
}

const nothing = (row: ScheduleRow | undefined): Fired => ({ row, fires: [], dropped: [], truncated: false });
const batchSize = 1_000;

/** Those of the fire times that no scheduler has made a job of yet. */
const stillToFire = async (tx: Transaction, name: string, fires: readonly Date[]): Promise<readonly Date[]> => {
  const { rows } = await tx.query<{ fire_at: Date }>(
    `SELECT fire_at FROM treadle.schedule_fires
     WHERE schedule_name = $1 AND fire_at = ANY ($2) AND NOT by_hand AND job_id IS NOT NULL`,
    [name, fires],
  );
  const made = new Set(rows.map(({ fire_at }) => fire_at.getTime()));
  return fires.filter((time) => !made.has(time.getTime()));
};

const acceptFires = async (
  tx: Transaction,
  row: ScheduleRow,
  times: readonly Date[],
  { accept, now }: { readonly accept: AcceptScheduled; readonly now: Date },
): Promise<void> => {
  const { job_name: name, payload, options, name: scheduleName } = row;
  for (let from = 0; from < times.length; from += batchSize) {
    const batch = times.slice(from, from + batchSize);
    const jobs = await accept(tx, { name, payload, options, scheduleName }, batch.length);
    const fires = batch.map((at, index) => ({ at, jobId: jobs[index]?.id ?? null }));
    await recordFires(tx, scheduleName, fires, now);
  }
};

/**
 * Fires a schedule if it is due, in one transaction: its jobs, their rows of treadle.schedule_fires and the schedule's
 * own row commit together. Holds the schedule's row meanwhile, so of several schedulers one fires and the others find
 * nothing due. Answers the fire times that got a job, and the latest of those that were dropped.
 * @throws whatever `accept` throws, such as VALIDATION_ERROR for a payload that no longer fits; nothing is changed then.
 */
export const fireSchedule = (name: string, { postgres, accept, now: clock, onTimeMs }: FireParts): Promise<Fired> =>
  postgres.transaction(
    async (tx) => {
      const row = await findForUpdate(tx, name);
      if (!row || row.paused) return nothing(undefined);
      const now = clock();
      const plan = planFires({ timing: timingOf(row), misfire: row.misfire }, row.settled_until, now, onTimeMs);
      if (!plan) return nothing(row);
      const fires = plan.fires.length === 0 ? [] : await stillToFire(tx, name, plan.fires);
      await acceptFires(tx, row, fires, { accept, now });
      if (plan.dropped.length > 0) {
        const dropped = plan.dropped.map((at) => ({ at, jobId: null }));
        await recordFires(tx, name, dropped, now);
      }
      await tx.query(
        'UPDATE treadle.schedules SET settled_until = $2, last_fire_at = coalesce($3, last_fire_at) WHERE name = $1',
        [name, plan.settledUntil, plan.fires.at(-1) ?? null],
      );
      return {
        row: { ...row, settled_until: plan.settledUntil },
        fires,
        dropped: plan.dropped,
        truncated: plan.truncated,
      };
    },
    { name: 'schedule.fire' },
  );
