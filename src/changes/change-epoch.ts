import type { Postgres } from '../lib/postgres/postgres.ts';

/**
 * The epoch of the positions that the server gives out now. It grows when these could run backwards: another cluster (a
 * restored dump), another timeline (a standby took over), or a position ahead of the server's own (an older copy of its
 * data). What sinks had come to counts for nothing then, and they start over.
 */
export const openEpoch = (postgres: Postgres): Promise<number> =>
  postgres.transaction(
    async (tx) => {
      const { rows } = await tx.query<{ epoch: number; grown: boolean }>(
        `WITH now AS (
           SELECT (SELECT system_identifier FROM pg_control_system())::text AS system,
             ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer AS timeline,
             pg_current_wal_insert_lsn() AS lsn
         ), before AS MATERIALIZED (SELECT * FROM treadle.change_epoch FOR UPDATE),
         judged AS (
           SELECT now.*, before.epoch, before.epoch IS NOT NULL AND (before.system <> now.system OR before.timeline <> now.timeline
             OR before.lsn > now.lsn OR EXISTS (SELECT FROM treadle.change_sinks AS s WHERE s.position > now.lsn)) AS grown
           FROM now LEFT JOIN before ON true
         )
         INSERT INTO treadle.change_epoch AS known (epoch, system, timeline, lsn)
         SELECT coalesce(epoch, 0) + CASE WHEN grown OR epoch IS NULL THEN 1 ELSE 0 END, system, timeline, lsn FROM judged
         ON CONFLICT (only_row) DO UPDATE
           SET epoch = excluded.epoch, system = excluded.system, timeline = excluded.timeline, lsn = excluded.lsn
         RETURNING epoch, (SELECT grown FROM judged) AS grown`,
      );
      const [row] = rows;
      if (!row) throw new Error('the epoch could not be written');
      if (row.grown) await tx.query('DELETE FROM treadle.change_sinks');
      return row.epoch;
    },
    { name: 'changes.epoch' },
  );
