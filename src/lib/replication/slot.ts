import type { Client } from 'pg';
import { AppError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import type { Queryable } from '../postgres/queryable.ts';
import { parseLsn, type Lsn } from './lsn.ts';

export interface SlotState {
  readonly activePid: number | null;
  /** Null before the slot is whole. */
  readonly confirmedFlush: Lsn | null;
  /** `lost`: WAL that it needs is gone, and it is of no more use. */
  readonly walStatus: 'reserved' | 'extended' | 'unreserved' | 'lost' | null;
  /** WAL that the server keeps for it. */
  readonly retainedBytes: number;
  /** How much more WAL may be written before the slot is lost; null without a limit. */
  readonly safeWalBytes: number | null;
}

interface SlotRow {
  readonly active_pid: number | null;
  readonly confirmed_flush_lsn: string | null;
  readonly wal_status: SlotState['walStatus'];
  readonly retained: string | null;
  readonly safe_wal_size: string | null;
}

/** Undefined when there is no such slot. */
export const readSlot = async (db: Queryable, name: string): Promise<SlotState | undefined> => {
  const { rows } = await db.query<SlotRow>(
    `SELECT active_pid, confirmed_flush_lsn::text, wal_status,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::text AS retained, safe_wal_size::text
     FROM pg_replication_slots WHERE slot_name = $1`,
    [name],
  );
  const [row] = rows;
  return (
    row && {
      activePid: row.active_pid,
      confirmedFlush: row.confirmed_flush_lsn === null ? null : parseLsn(row.confirmed_flush_lsn),
      walStatus: row.wal_status,
      retainedBytes: Number(row.retained ?? 0),
      safeWalBytes: row.safe_wal_size === null ? null : Number(row.safe_wal_size),
    }
  );
};

interface Writer {
  readonly pid: number;
  readonly application: string;
  readonly seconds: number;
}

const oldestWriter = async (client: Client): Promise<Writer | undefined> => {
  const { rows } = await client.query<Writer>(
    `SELECT pid, application_name AS application, extract(epoch FROM clock_timestamp() - xact_start)::integer AS seconds
     FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1`,
  );
  return rows[0];
};

const queryCanceled = '57014';
const duplicateObject = '42710';

/**
 * Makes a logical slot of pgoutput unless there is one. It begins behind every transaction that is open now, and has to
 * wait for them.
 * @throws AppError TIMEOUT naming the connection that it waited for; the server's error otherwise.
 */
export const createSlot = async (client: Client, name: string, { timeoutMs = 30_000 } = {}): Promise<void> => {
  const { rows } = await client.query<{ version: number }>(
    `SELECT current_setting('server_version_num')::integer AS version`,
  );
  // From 17 on standbys may keep a copy, so that a failover loses nothing.
  const more = (rows[0]?.version ?? 0) >= 170_000 ? ', false, false, true' : '';
  await client.query(`SET statement_timeout = ${Math.max(1, Math.round(timeoutMs))}`);
  try {
    await client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput'${more})`, [name]);
  } catch (error) {
    if (codeOf(error) === duplicateObject) return;
    if (codeOf(error) !== queryCanceled) throw error;
    const writer = await oldestWriter(client);
    const who = writer
      ? `connection ${writer.pid} (${writer.application}), open for ${writer.seconds} s`
      : 'a transaction';
    throw new AppError(
      'TIMEOUT',
      `the replication slot ${name} could not be made within ${timeoutMs} ms: it waits for the transaction of ${who}`,
      { timeoutMs },
      { cause: error },
    );
  } finally {
    await client.query('RESET statement_timeout');
  }
};

/** Ends who reads the slot, and removes it; nothing happens when there is none. */
export const dropSlot = async (db: Queryable, name: string): Promise<void> => {
  await db.query(
    'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL',
    [name],
  );
  for (const deadline = performance.now() + 10_000; ;) {
    try {
      await db.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1', [
        name,
      ]);
      return;
    } catch (error) {
      // Its reader has not ended yet.
      if (codeOf(error) !== '55006' || performance.now() > deadline) throw error;
    }
  }
};

const longestName = 63;

/** The name of this database's slot: names are the server's, and several databases of one may have Treadle. */
export const slotNameOf = async (db: Queryable): Promise<string> => {
  const { rows } = await db.query<{ name: string; oid: number }>(
    'SELECT datname::text AS name, oid::bigint AS oid FROM pg_database WHERE datname = current_database()',
  );
  const [row] = rows;
  if (!row) throw new Error('the database is not in pg_database');
  const end = `_${row.oid}`;
  const cleaned = row.name.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_');
  return `${`treadle_${cleaned}`.slice(0, longestName - end.length)}${end}`;
};
