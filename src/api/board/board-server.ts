import type { QueueWorker } from '@bull-board/api/typings/app';
import type { Queryable } from '../../lib/postgres/queryable.ts';

/** The processes that work on a queue and have given a sign of life in the last half minute. */
export const workersOf = async (db: Queryable, queue: string): Promise<QueueWorker[]> => {
  const { rows } = await db.query<{ id: string; host: string; pid: number; age: number }>(
    `SELECT id, host, pid, extract(epoch FROM now() - started_at)::int AS age FROM treadle.processes
     WHERE beat_at > now() - interval '30 seconds' AND queues ? $1 ORDER BY id`,
    [queue],
  );
  return rows.map(({ id, host, pid, age }) => ({ id, name: id, addr: `${host}:${pid}`, age }));
};
