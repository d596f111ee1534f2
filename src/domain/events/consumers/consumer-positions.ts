import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { DomainEvent } from '../domain-event.ts';
import { startOf, type Position, type Start } from '../position.ts';
import type { RecordedEvent } from '../types.ts';
import type { ConsumerFault } from './types.ts';

/** A process that has taken a consumer; what it writes counts as long as nobody took it after. */
export interface ConsumerHolder {
  readonly name: string;
  readonly fence: string;
  readonly leaseMs: number;
}

/** How a consumer was found by the process that took it. */
export interface TakenConsumer {
  readonly holder: ConsumerHolder;
  readonly position: Position;
  /** Whether what the transaction wrote was there when the consumer began, and is not for it. */
  readonly knows: Start['knows'];
  /** Failures of the event that comes next, and how many processes were lost with it. */
  readonly attempts: number;
  readonly losses: number;
  /** Until it may be tried again. */
  readonly waitMs: number;
}

interface TakenRow {
  readonly fence: string;
  readonly xid: string;
  readonly seq: string;
  readonly began: string | null;
  readonly attempts: number;
  readonly losses: number;
  readonly wait_ms: number;
}

/** In the values of every write: $1 the name, $2 the fence, $3 the lease in seconds. */
const valuesOf = ({ name, fence, leaseMs }: ConsumerHolder): unknown[] => [name, fence, leaseMs / 1_000];
const held = `held_until = clock_timestamp() + make_interval(secs => $3), updated_at = clock_timestamp()`;
const mine = 'WHERE name = $1 AND fence = $2::bigint';
const textsOf = ({ xid, seq }: Position): string[] => [xid.toString(), seq.toString()];

/** The statements that run a consumer. Those that write answer whether the holder still had it. */
export class ConsumerPositions {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async register(name: string, types: readonly string[], from: 'now' | 'start'): Promise<void> {
    await this.#db.query(
      `INSERT INTO treadle.event_consumers AS known (name, types, began, position_xid, position_seq)
       SELECT $1, $2, began, coalesce(pg_snapshot_xmin(began), '0'), 0
       FROM (SELECT CASE $3 WHEN 'now' THEN pg_current_snapshot() END AS began) AS start
       ON CONFLICT (name) DO UPDATE SET types = excluded.types, updated_at = now() WHERE known.types <> excluded.types`,
      [name, types, from],
    );
  }

  /** Undefined while another process has it. One that did not give it back has been lost. */
  async take(name: string, processId: string, leaseMs: number): Promise<TakenConsumer | undefined> {
    const { rows } = await this.#db.query<TakenRow>(
      `UPDATE treadle.event_consumers SET
         fence = fence + 1, losses = losses + (holder IS NOT NULL)::integer, holder = $2,
         held_until = clock_timestamp() + make_interval(secs => $3), updated_at = clock_timestamp()
       WHERE name = $1 AND (holder IS NULL OR held_until < clock_timestamp())
       RETURNING fence::text AS fence, position_xid::text AS xid, position_seq::text AS seq,
         began::text AS began, attempts, losses,
         greatest(0, coalesce(extract(epoch FROM next_attempt_at - clock_timestamp()) * 1000, 0))::float8 AS wait_ms`,
      [name, processId, leaseMs / 1_000],
    );
    const [row] = rows;
    if (!row) return undefined;
    return {
      holder: { name, fence: row.fence, leaseMs },
      position: { xid: BigInt(row.xid), seq: BigInt(row.seq) },
      knows: row.began === null ? () => false : startOf(row.began).knows,
      attempts: row.attempts,
      losses: row.losses,
      waitMs: row.wait_ms,
    };
  }

  /** Keeps it for the time of the lease. */
  renew(holder: ConsumerHolder): Promise<boolean> {
    return this.#write(`UPDATE treadle.event_consumers SET ${held} ${mine}`, valuesOf(holder));
  }

  /** Everything up to `to` has been handled. */
  advance(holder: ConsumerHolder, to: Position): Promise<boolean> {
    return this.#write(
      `UPDATE treadle.event_consumers SET position_xid = $4::xid8, position_seq = $5::bigint,
         attempts = 0, losses = 0, next_attempt_at = NULL, error = NULL, ${held} ${mine}`,
      [...valuesOf(holder), ...textsOf(to)],
    );
  }

  /** There is nothing for it up to `to`. */
  idle(holder: ConsumerHolder, to: Position): Promise<boolean> {
    return this.#write(
      `UPDATE treadle.event_consumers SET position_xid = $4::xid8, position_seq = $5::bigint, losses = 0, ${held} ${mine}`,
      [...valuesOf(holder), ...textsOf(to)],
    );
  }

  /** Everything up to `to` has been handled, and the next event has failed so often. */
  fail(
    holder: ConsumerHolder,
    to: Position,
    {
      attempts,
      delayMs,
      fault,
    }: { readonly attempts: number; readonly delayMs: number; readonly fault: ConsumerFault },
  ): Promise<boolean> {
    return this.#write(
      `UPDATE treadle.event_consumers SET position_xid = $4::xid8, position_seq = $5::bigint, attempts = $6, losses = 0,
         next_attempt_at = clock_timestamp() + make_interval(secs => $7), error = $8, ${held} ${mine}`,
      [...valuesOf(holder), ...textsOf(to), attempts, delayMs / 1_000, JSON.stringify(fault)],
    );
  }

  /** Makes an event a dead letter, and goes on behind it. */
  bury(
    holder: ConsumerHolder,
    { event, position }: RecordedEvent,
    { attempts, fault }: { readonly attempts: number; readonly fault: ConsumerFault },
  ): Promise<boolean> {
    return this.#write(
      `WITH moved AS (
         UPDATE treadle.event_consumers SET position_xid = $4::xid8, position_seq = $5::bigint,
           attempts = 0, losses = 0, next_attempt_at = NULL, error = NULL, ${held} ${mine} RETURNING name)
       INSERT INTO treadle.event_dead_letters (consumer, event_id, event, attempts, error)
       SELECT name, $6, $7, $8, $9 FROM moved
       ON CONFLICT (consumer, event_id) DO UPDATE SET
         attempts = excluded.attempts, error = excluded.error, failed_at = excluded.failed_at, redrive = false`,
      [...valuesOf(holder), ...textsOf(position), event.id, JSON.stringify(event), attempts, JSON.stringify(fault)],
    );
  }

  /** The dead letter that somebody wants to be handled once more, the oldest first. */
  async nextRedriven(name: string): Promise<{ readonly event: DomainEvent; readonly attempts: number } | undefined> {
    const { rows } = await this.#db.query<{ event: unknown; attempts: number }>(
      `SELECT event, attempts FROM treadle.event_dead_letters WHERE consumer = $1 AND redrive
       ORDER BY failed_at LIMIT 1`,
      [name],
    );
    const [row] = rows;
    return row && { event: DomainEvent.fromJSON(row.event), attempts: row.attempts };
  }

  async redriven({ name }: ConsumerHolder, eventId: string): Promise<void> {
    await this.#db.query('DELETE FROM treadle.event_dead_letters WHERE consumer = $1 AND event_id = $2', [
      name,
      eventId,
    ]);
  }

  async buryAgain({ name }: ConsumerHolder, eventId: string, fault: ConsumerFault): Promise<void> {
    await this.#db.query(
      `UPDATE treadle.event_dead_letters SET redrive = false, attempts = attempts + 1, error = $3, failed_at = clock_timestamp()
       WHERE consumer = $1 AND event_id = $2`,
      [name, eventId, JSON.stringify(fault)],
    );
  }

  /** Gives it back, for another process to take at once. */
  async release({ name, fence }: ConsumerHolder): Promise<void> {
    await this.#db.query(
      `UPDATE treadle.event_consumers SET holder = NULL, held_until = NULL, updated_at = clock_timestamp()
       WHERE name = $1 AND fence = $2::bigint`,
      [name, fence],
    );
  }

  async #write(text: string, values: unknown[]): Promise<boolean> {
    const { rowCount } = await this.#db.query(text, values);
    return rowCount === 1;
  }
}
