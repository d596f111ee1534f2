import type pg from 'pg';
import { pgBossSchema } from './pg-boss-schema.ts';

/**
 * One giving-out of a pg-boss job. pg-boss knows a job's worker by no token, but each time it gives a job out it notes
 * the time, and counts the times before that ended in silence: both together are of one worker only.
 */
export interface PgBossClaim {
  readonly queue: string;
  /** pg-boss' id. */
  readonly id: string;
  /** pg-boss answers milliseconds of the microseconds it keeps. */
  readonly startedOn: Date;
  readonly retryCount: number;
}

const mine = `name = $1 AND id = $2 AND state = 'active' AND retry_count = $3
  AND date_trunc('milliseconds', started_on) = date_trunc('milliseconds', $4::timestamptz)`;

const change = async (pool: pg.Pool, sql: string, claim: PgBossClaim): Promise<boolean> => {
  const { rowCount } = await pool.query(sql, [claim.queue, claim.id, claim.retryCount, claim.startedOn]);
  return rowCount === 1;
};

/** Keeps the job for another heartbeat; false when it is no longer this claim's. */
export const renewClaim = (pool: pg.Pool, claim: PgBossClaim): Promise<boolean> =>
  change(pool, `UPDATE ${pgBossSchema}.job SET heartbeat_on = now() WHERE ${mine}`, claim);

/** Makes the job available again at no cost, before what waits with its priority; does nothing to a job that is no longer this claim's. */
export const giveBackClaim = (pool: pg.Pool, claim: PgBossClaim): Promise<boolean> =>
  change(
    pool,
    `UPDATE ${pgBossSchema}.job SET state = 'created', started_on = NULL, heartbeat_on = NULL WHERE ${mine}`,
    claim,
  );
