import type { Queryable } from '../../lib/postgres/queryable.ts';

/** Says by NOTIFY that a schedule was changed; the payload is its name. */
export const schedulesChannel = 'treadle_schedules';

/** Tells the running schedulers, when the transaction commits. */
export const announceSchedule = async (tx: Queryable, name: string): Promise<void> => {
  await tx.query('SELECT pg_notify($1, $2)', [schedulesChannel, name]);
};
