import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { BuiltInSchedule } from '../define-schedule.ts';
import { checkSchedule, type FindContract } from './check-schedule.ts';
import { upsertSchedule } from './upsert-schedule.ts';

/**
 * Writes the built-in schedules where they differ from what is stored; whether they are paused stays as it is. One that
 * the code no longer has becomes an ordinary schedule, which users may remove: during a deployment another version's
 * scheduler may still have it. A one-off whose time has passed is stored and does not fire.
 * @throws AppError VALIDATION_ERROR for a built-in schedule that is not valid.
 */
export const syncBuiltIns = async (
  postgres: Postgres,
  builtIns: readonly BuiltInSchedule[],
  findContract: FindContract,
  now: Date,
): Promise<void> => {
  const checked = builtIns
    .map(({ name, ...input }) => checkSchedule(name, input, { findContract, isTooLate: () => false }))
    // The same order everywhere, so that schedulers starting together don't deadlock.
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  await postgres.transaction(
    async (tx) => {
      for (const schedule of checked) await upsertSchedule(tx, schedule, { builtIn: true, now });
      await tx.query(
        'UPDATE treadle.schedules SET built_in = false, updated_at = now() WHERE built_in AND name <> ALL ($1)',
        [checked.map(({ name }) => name)],
      );
    },
    { name: 'schedule.sync-built-ins' },
  );
};
