import type { Queryable } from '../../lib/postgres/queryable.ts';
import { withoutValues } from '../../lib/postgres/without-values.ts';
import type { ServerFacts } from './types.ts';

interface FactsRow {
  readonly version: string;
  readonly started_at: Date;
  readonly size_bytes: number;
  readonly connections: number;
  readonly max_connections: number;
  readonly is_replica: boolean;
  readonly replay_lag_ms: number | null;
}

const facts = `SELECT current_setting('server_version') AS version, pg_postmaster_start_time() AS started_at,
  pg_database_size(current_database())::float8 AS size_bytes,
  (SELECT count(*)::integer FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
  current_setting('max_connections')::integer AS max_connections, pg_is_in_recovery() AS is_replica,
  CASE WHEN pg_is_in_recovery() THEN
    -- Having replayed all that came, it is not behind, however long ago that was.
    CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
      ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 END
  END::float8 AS replay_lag_ms`;

// Who is connected to a database reads its changes, at a pace of his own: he is no replica, and his slot is told below.
const replicas = `SELECT coalesce(nullif(r.application_name, ''), r.client_addr::text, r.pid::text) AS name, coalesce(r.state, 'unknown') AS state,
  (extract(epoch FROM r.replay_lag) * 1000)::float8 AS lag_ms
  FROM pg_stat_replication AS r JOIN pg_stat_activity AS a ON a.pid = r.pid AND a.datid IS NULL ORDER BY 1`;

const slots = `SELECT slot_name::text AS name, active, wal_status,
  pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::float8 AS retained_bytes
  FROM pg_replication_slots ORDER BY 1`;

const running = `SELECT query AS statement, (extract(epoch FROM clock_timestamp() - query_start) * 1000)::float8 AS running_ms, application_name AS application
  FROM pg_stat_activity
  WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND query_start < clock_timestamp() - interval '1 second'
    AND datname = current_database()
  ORDER BY query_start LIMIT 20`;

/** Asks the server about itself. */
export const readServerFacts = async (db: Queryable): Promise<ServerFacts> => {
  const [{ rows: own }, { rows: copies }, { rows: kept }, { rows: long }] = await Promise.all([
    db.query<FactsRow & Record<string, unknown>>(facts),
    db.query<{ name: string; state: string; lag_ms: number | null }>(replicas),
    db.query<{ name: string; active: boolean; wal_status: string | null; retained_bytes: number | null }>(slots),
    db.query<{ statement: string; running_ms: number; application: string }>(running),
  ]);
  const [row] = own;
  if (!row) throw new Error('SELECT answered no row');
  return {
    version: row.version,
    startedAt: row.started_at,
    sizeBytes: row.size_bytes,
    connections: row.connections,
    maxConnections: row.max_connections,
    isReplica: row.is_replica,
    replayLagMs: row.replay_lag_ms,
    replicas: copies.map(({ name, state, lag_ms }) => ({ name, state, lagMs: lag_ms })),
    slots: kept.map(({ name, active, wal_status, retained_bytes }) => ({
      name,
      active,
      retainedBytes: retained_bytes,
      walStatus: wal_status,
    })),
    runningQueries: long.map(({ statement, running_ms, application }) => ({
      statement: withoutValues(statement),
      runningMs: running_ms,
      application,
    })),
  };
};
