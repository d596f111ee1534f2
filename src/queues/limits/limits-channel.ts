import type { Queryable } from '../../lib/postgres/queryable.ts';

/** What the relay hears when a limit was set. */
export const limitsChanged = 'limits';

/** Has the relay read the limits again before it picks anything more, when the transaction of `db` commits. */
export const announceLimits = async (db: Queryable): Promise<void> => {
  await db.query('UPDATE treadle.relay SET limits_version = limits_version + 1');
  await db.query(`SELECT pg_notify('treadle_relay', $1)`, [limitsChanged]);
};
