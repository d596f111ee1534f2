import type { Postgres } from '../../lib/postgres/postgres.ts';
import { announceSchedule } from './schedules-channel.ts';
import { checkSchedule, type FindContract } from './check-schedule.ts';
import type { MisfirePolicy } from './plan-fires.ts';

/** A schedule that code brings: kept in step with it at each start of a scheduler; users can pause it. */
export interface BuiltInSchedule {
  readonly name: string;
  readonly jobName: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly misfire?: MisfirePolicy;
  readonly payload?: Readonly<Record<string, unknown>>;
  readonly options?: Readonly<Record<string, unknown>>;
}

const upsert = `
  INSERT INTO treadle.schedules AS known
    (name, job_name, payload, options, cron, time_zone, misfire, built_in, settled_until)
  VALUES ($1, $2, $3, $4, $5, $6, $7, true, $8)
  ON CONFLICT (name) DO UPDATE SET
    job_name = excluded.job_name, payload = excluded.payload, options = excluded.options, cron = excluded.cron,
    time_zone = excluded.time_zone, misfire = excluded.misfire, built_in = true,
    settled_until = CASE WHEN (known.cron, known.time_zone) <> (excluded.cron, excluded.time_zone)
      THEN excluded.settled_until ELSE known.settled_until END,
    updated_at = now()
  WHERE (known.job_name, known.payload, known.options, known.cron, known.time_zone, known.misfire, known.built_in)
    IS DISTINCT FROM (excluded.job_name, excluded.payload, excluded.options, excluded.cron, excluded.time_zone,
      excluded.misfire, true)`;

/**
 * Writes the built-in schedules where they differ from what is stored; whether they are paused stays as it is. One that
 * the code no longer has becomes an ordinary schedule, which users may remove: during a deployment another version's
 * scheduler may still have it.
 * @throws AppError VALIDATION_ERROR for a built-in schedule that is not valid.
 */
export const syncBuiltIns = async (
  postgres: Postgres,
  builtIns: readonly BuiltInSchedule[],
  findContract: FindContract,
  now: Date,
): Promise<void> => {
  const checked = builtIns
    .map(({ name, ...input }) => checkSchedule(name, input, findContract))
    // The same order everywhere, so that schedulers starting together don't deadlock.
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  await postgres.transaction(
    async (tx) => {
      for (const { name, jobName, payloadJson, optionsJson, cron, timeZone, misfire } of checked) {
        const values = [name, jobName, payloadJson, optionsJson, cron, timeZone, misfire, now];
        const { rowCount } = await tx.query(upsert, values);
        if (rowCount !== 0) await announceSchedule(tx, name);
      }
      await tx.query(
        'UPDATE treadle.schedules SET built_in = false, updated_at = now() WHERE built_in AND name <> ALL ($1)',
        [checked.map(({ name }) => name)],
      );
    },
    { name: 'schedule.sync-built-ins' },
  );
};
