import type pg from 'pg';
import { pgBossSchema } from './pg-boss-schema.ts';

/**
 * One giving-out of a pg-boss job. pg-boss knows a job's worker by no token, but counts how often the job fell silent
 * before: while it is active, id and count are of one worker only.
 */
export interface PgBossClaim {
  readonly queue: string;
  /** pg-boss' id. */
  readonly id: string;
  readonly retryCount: number;
}

const mine = `name = $1 AND id = $2 AND state = 'active' AND retry_count = $3`;

const change = async (pool: pg.Pool, sql: string, claim: PgBossClaim): Promise<boolean> => {
  const { rowCount } = await pool.query(sql, [claim.queue, claim.id, claim.retryCount]);
  return rowCount === 1;
};

/** Keeps the job for another heartbeat; false when it is no longer this claim's. */
export const renewClaim = (pool: pg.Pool, claim: PgBossClaim): Promise<boolean> =>
  change(pool, `UPDATE ${pgBossSchema}.job SET heartbeat_on = now() WHERE ${mine}`, claim);

/** Makes the job available again, in its old place and uncounted; false, and nothing done, when it is no longer this claim's. */
export const giveBackClaim = (pool: pg.Pool, claim: PgBossClaim): Promise<boolean> =>
  change(
    pool,
    `UPDATE ${pgBossSchema}.job SET state = 'created', started_on = NULL, heartbeat_on = NULL WHERE ${mine}`,
    claim,
  );
