import type { Postgres } from '../lib/postgres/postgres.ts';
import { WalHistory } from '../lib/postgres/wal-history.ts';
import type { Lsn } from '../lib/replication/lsn.ts';
import type { ReplicatorState } from './replicator.ts';
import type { SinkRunner } from './sink-runner.ts';

/** Messages that the event triggers of migration 029 write when a table is changed. */
export const ddlPrefix = 'treadle.ddl';
const heartbeatPrefix = 'treadle.heartbeat';
const historyMs = 3_600_000;

export interface StreamStatusParts {
  readonly postgres: Postgres;
  readonly slot: string;
  readonly processId: string;
}

/** Tells how the stream does to everybody, by rows in Postgres, and measures it by marks that go through it. */
export class StreamStatus {
  readonly #parts: StreamStatusParts;
  readonly #history = new WalHistory(historyMs);
  #lagMs: number | undefined;

  constructor(parts: StreamStatusParts) {
    this.#parts = parts;
  }

  /** From the commit of the last mark that arrived to its arrival. */
  get lagMs(): number | undefined {
    return this.#lagMs;
  }

  /** Up to where the stream has come at this moment. */
  note(received: Lsn): void {
    this.#history.add(received, performance.now());
  }

  hear(prefix: string, content: string): void {
    if (prefix !== heartbeatPrefix) return;
    const [processId, sentAt] = content.split('|');
    // Those of others were sent by another clock.
    if (processId === this.#parts.processId) this.#lagMs = Math.max(0, performance.now() - Number(sentAt));
  }

  /**
   * Writes the state down; while it streams, in a transaction that carries a mark. `reader`: the server's process that reads
   * the slot for it. One that stood still, and in whose place another reads, says nothing.
   */
  async tell(
    state: ReplicatorState,
    problem: string | undefined,
    runners: readonly SinkRunner[],
    leftOut: ReadonlyMap<string, string>,
    reader?: number,
  ): Promise<void> {
    const { postgres, slot, processId } = this.#parts;
    const now = performance.now();
    const unavailable = Array.from(leftOut, ([name, error]) => ({
      name,
      state: 'unavailable',
      waiting: 0,
      lag: null,
      error,
    }));
    const following = runners.map(({ name, state: sinkState, queue, position, lastError }) => ({
      name,
      state: sinkState,
      waiting: queue.size,
      // One that is behind is as current as it was when it was left behind.
      lag: sinkState === 'behind' ? null : (this.#history.lagMs(position, now) ?? historyMs),
      error: lastError ?? null,
    }));
    await postgres.query(
      `WITH speaks AS (
         SELECT WHERE $3 <> 'streaming' OR EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $2 AND active_pid = $8)
       ), told AS (
         INSERT INTO treadle.change_stream AS known (process_id, slot, state, problem, lag_ms)
         SELECT $1, $2, $3, $4, $5::float8 FROM speaks
         ON CONFLICT (only_row) DO UPDATE SET process_id = excluded.process_id, slot = excluded.slot, state = excluded.state,
           problem = excluded.problem, lag_ms = excluded.lag_ms, told_at = clock_timestamp()
         -- Who can't stream does not speak over who does.
         WHERE excluded.state = 'streaming' OR known.state <> 'streaming' OR known.told_at < clock_timestamp() - interval '20 seconds'
       ), sinks AS (
         UPDATE treadle.change_sinks AS s SET state = given.state, waiting = given.waiting, error = given.error,
           current_at = coalesce(clock_timestamp() - make_interval(secs => given.lag / 1000), s.current_at)
         FROM jsonb_to_recordset($6::jsonb) AS given (name text, state text, waiting integer, lag float8, error text), speaks
         WHERE s.name = given.name
       )
       SELECT CASE WHEN $3 = 'streaming' THEN pg_logical_emit_message(true, '${heartbeatPrefix}', $7) END`,
      [
        processId,
        slot,
        state,
        problem ?? null,
        this.#lagMs ?? null,
        JSON.stringify([...following, ...unavailable]),
        `${processId}|${now}`,
        reader ?? null,
      ],
    );
  }
}
