import type { Queryable } from '../lib/postgres/queryable.ts';

/**
 * Ends the connection that reads a slot when its process has not told its positions for so long: it is frozen, or its
 * machine is gone. Answers whether there was one.
 */
export const endSilentReader = async (db: Queryable, slot: string, silenceMs: number): Promise<boolean> => {
  const { rowCount } = await db.query(
    `SELECT pg_terminate_backend(reader.pid) FROM pg_replication_slots AS slot JOIN pg_stat_replication AS reader ON reader.pid = slot.active_pid
     WHERE slot.slot_name = $1
       AND coalesce(reader.reply_time, reader.backend_start) < clock_timestamp() - make_interval(secs => $2)`,
    [slot, silenceMs / 1_000],
  );
  return (rowCount ?? 0) > 0;
};
