import type { Queryable } from '../../lib/postgres/queryable.ts';

/** What the relay hears when a limit was set. */
export const limitsChanged = 'limits';

/** Tells the relay to read the limits again, when the transaction of `db` commits. */
export const announceLimits = async (db: Queryable): Promise<void> => {
  await db.query(`SELECT pg_notify('treadle_relay', $1)`, [limitsChanged]);
};
