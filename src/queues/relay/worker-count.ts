import type { Queryable } from '../../lib/postgres/queryable.ts';

/** Processes silent for longer are taken for dead. */
export const silentAfterSeconds = 15;

/** How many jobs of each queue all living workers run at once. */
export const countWorkers = async (db: Queryable): Promise<ReadonlyMap<string, number>> => {
  const { rows } = await db.query<{ queue: string; slots: number }>(
    `SELECT key AS queue, sum(value::integer)::integer AS slots
     FROM treadle.processes, jsonb_each_text(queues)
     WHERE beat_at > now() - make_interval(secs => $1) GROUP BY key`,
    [silentAfterSeconds],
  );
  return new Map(rows.map(({ queue, slots }) => [queue, slots]));
};
