import { setTimeout as delay } from 'node:timers/promises';
import type { Queryable } from '../lib/postgres/queryable.ts';

/**
 * Waits until every one of the transactions is visible to whoever begins to read now. A commit reaches the stream before
 * that: some milliseconds, and longer where it waits for standbys.
 */
export const awaitVisible = async (db: Queryable, xids: readonly number[], signal: AbortSignal): Promise<void> => {
  for (let attempt = 0; ; attempt += 1) {
    // The stream tells the lower half of a transaction's number; the upper half is that of now, or of the epoch before.
    const { rows } = await db.query<{ visible: boolean }>(
      `SELECT coalesce(bool_and(pg_visible_in_snapshot(
           (CASE WHEN whole > latest THEN whole - 4294967296 ELSE whole END)::text::xid8, snapshot)), true) AS visible
       FROM (SELECT pg_current_snapshot() AS snapshot) AS now,
         LATERAL (SELECT pg_snapshot_xmax(snapshot)::text::bigint AS latest) AS last,
         unnest($1::bigint[]) AS given (xid),
         LATERAL (SELECT (latest >> 32 << 32) | given.xid AS whole) AS made`,
      [xids],
    );
    if (rows[0]?.visible === true) return;
    await delay(Math.min(50, 2 ** attempt), undefined, { signal });
  }
};
