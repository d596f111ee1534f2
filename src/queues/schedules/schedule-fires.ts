import { z } from 'zod';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { JobState } from '../ledger/job-record.ts';
import type { ScheduleFire } from '../ports.ts';

interface FireRow {
  readonly fire_at: Date;
  readonly fired_at: Date;
  readonly by_hand: boolean;
  readonly job_id: string | null;
  readonly job_state: JobState | null;
}

const toFire = (row: FireRow): ScheduleFire => ({
  fireAt: row.fire_at,
  firedAt: row.fired_at,
  lateMs: Math.max(0, row.fired_at.getTime() - row.fire_at.getTime()),
  byHand: row.by_hand,
  skipped: row.job_id === null,
  jobId: row.job_id,
  jobState: row.job_state,
});

const key = z.tuple([z.iso.datetime(), z.enum(['true', 'false'])]);

/**
 * What a schedule did, the latest first.
 * @throws AppError VALIDATION_ERROR for a cursor of another list or schedule.
 */
export const pageOfFires = async (db: Queryable, name: string, request: PageRequest): Promise<Page<ScheduleFire>> => {
  const start = await readPageRequest(db, request, { list: 'schedule-fires', scope: [name], key });
  const [beyond, order] = start.direction === 'next' ? ['<', 'DESC'] : ['>', 'ASC'];
  const [at = null, byHand = null] = start.key ?? [];
  const { rows } = await db.query<FireRow & Record<string, unknown>>(
    `SELECT f.fire_at, f.created_at AS fired_at, f.by_hand, f.job_id, coalesce(
         (SELECT j.state FROM treadle.jobs AS j WHERE j.id = f.job_id),
         (SELECT j.state FROM treadle.finished_jobs AS j WHERE j.id = f.job_id LIMIT 1)) AS job_state
     FROM treadle.schedule_fires AS f
     WHERE f.schedule_name = $1 AND ($2::timestamptz IS NULL OR (f.fire_at, f.by_hand) ${beyond} ($2::timestamptz, $3::boolean))
     ORDER BY f.fire_at ${order}, f.by_hand ${order} LIMIT $4`,
    [name, at, byHand, start.limit + 1],
  );
  return pageOf(rows, start, {
    keyOf: (row) => [row.fire_at.toISOString(), row.by_hand ? 'true' : 'false'] as const,
    toItem: toFire,
  });
};

/** Writes down fire times and their jobs. Jobs of times that were told of as dropped take their place. */
export const recordFires = async (
  tx: Queryable,
  name: string,
  fires: readonly { readonly at: Date; readonly jobId: string | null }[],
  now: Date,
): Promise<void> => {
  await tx.query(
    `INSERT INTO treadle.schedule_fires AS known (schedule_name, fire_at, job_id, created_at)
     SELECT $1, fire.at, fire.job_id, $4 FROM unnest($2::timestamptz[], $3::uuid[]) AS fire (at, job_id)
     ON CONFLICT (schedule_name, fire_at, by_hand) DO UPDATE SET job_id = excluded.job_id, created_at = excluded.created_at
     WHERE known.job_id IS NULL AND excluded.job_id IS NOT NULL`,
    [name, fires.map(({ at }) => at), fires.map(({ jobId }) => jobId), now],
  );
};

/** Writes down a run that somebody asked for; of two in one millisecond the second counts as a millisecond later. */
export const recordRunByHand = async (tx: Queryable, name: string, jobId: string, now: Date): Promise<void> => {
  await tx.query(
    `INSERT INTO treadle.schedule_fires (schedule_name, fire_at, by_hand, job_id, created_at)
     SELECT $1, time, true, $2, time FROM (
       SELECT greatest($3::timestamptz, max(fire_at) + interval '1 ms') AS time
       FROM treadle.schedule_fires WHERE schedule_name = $1 AND by_hand AND fire_at >= $3) AS later`,
    [name, jobId, now],
  );
};
