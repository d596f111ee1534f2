import type { QueueWorker, RedisStats } from '@bull-board/api/typings/app';
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

/** What the board says about the server behind it, which is always Postgres: the ledger lies there. */
export const serverStats = async (db: Queryable): Promise<RedisStats | null> => {
  const { rows } = await db.query<{
    version: string;
    port: number;
    uptime: number;
    connected: number;
    blocked: number;
  }>(
    `SELECT split_part(current_setting('server_version'), ' ', 1) AS version, current_setting('port')::int AS port,
       extract(epoch FROM now() - pg_postmaster_start_time())::int AS uptime, count(*)::int AS connected,
       (count(*) FILTER (WHERE wait_event_type = 'Lock'))::int AS blocked
     FROM pg_stat_activity`,
  );
  const [row] = rows;
  if (!row) return null;
  const { connected, blocked, ...server } = row;
  return { backend: 'postgres', ...server, clients: { connected, blocked } };
};
