import { z } from 'zod';
import { AppError, notFound } from '../../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../../lib/errors/zod-faults.ts';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { Metric } from '../../../lib/telemetry/metric-text.ts';
import type { EventJson } from '../domain-event.ts';
import { consumerName } from './define-consumer.ts';
import type { ConsumerFault, ConsumerStatus, EventDeadLetter } from './types.ts';

interface StatusRow {
  readonly name: string;
  readonly types: readonly string[];
  readonly holder: string | null;
  readonly lag: number;
  readonly lag_seconds: number;
  readonly attempts: number;
  readonly error: ConsumerFault | null;
  readonly next_attempt_at: Date | null;
  readonly dead_letters: number;
  readonly missed: number;
  readonly missed_at: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

interface DeadLetterRow {
  readonly event: EventJson;
  readonly event_id: string;
  readonly attempts: number;
  readonly error: ConsumerFault;
  readonly failed_at: Date;
  readonly failed_key: string;
  readonly redrive: boolean;
}

const countedAtMost = 10_000;
const letterKey = z.tuple([z.iso.datetime(), z.guid()]);
const idsShape = z
  .array(z.guid({ error: 'must be the id of an event' }))
  .min(1)
  .max(1_000)
  .optional();

const statusOf = (where: string): string => `
  SELECT name, types, CASE WHEN held_until > clock_timestamp() THEN holder END AS holder, attempts, error, next_attempt_at,
    missed::float8 AS missed, missed_at, created_at, updated_at, waiting.lag, waiting.lag_seconds,
    (SELECT count(*)::integer FROM treadle.event_dead_letters WHERE consumer = name) AS dead_letters
  FROM treadle.event_consumers AS consumer, LATERAL (
    SELECT count(*)::integer AS lag,
      coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(recorded_at))), 0)::float8 AS lag_seconds
    FROM (
      SELECT xid, type, recorded_at FROM treadle.events WHERE (xid, seq) > (consumer.position_xid, consumer.position_seq)
      ORDER BY xid, seq LIMIT ${countedAtMost}) AS event
    WHERE type LIKE ANY (ARRAY(SELECT replace(pattern, '*', '%') FROM unnest(consumer.types) AS pattern))
      AND (consumer.began IS NULL OR NOT pg_visible_in_snapshot(xid, consumer.began))
  ) AS waiting ${where} ORDER BY name`;

const toStatus = (row: StatusRow): ConsumerStatus => ({
  name: row.name,
  types: row.types,
  holder: row.holder,
  lag: row.lag,
  lagSeconds: row.lag_seconds,
  attempts: row.attempts,
  error: row.error,
  nextAttemptAt: row.next_attempt_at,
  deadLetters: row.dead_letters,
  missed: row.missed,
  missedAt: row.missed_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

const toDeadLetter = ({ event, attempts, error, failed_at: failedAt, redrive }: DeadLetterRow): EventDeadLetter => ({
  event,
  attempts,
  error,
  failedAt,
  redrive,
});

/** How durable consumers stand, and what becomes of events that they failed with. */
export class EventConsumers {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async list(): Promise<readonly ConsumerStatus[]> {
    const { rows } = await this.#db.query<StatusRow>(statusOf(''));
    return rows.map(toStatus);
  }

  /** @throws AppError VALIDATION_ERROR for what is no name, NOT_FOUND. */
  async get(name: string): Promise<ConsumerStatus> {
    parseOrThrow(z.object({ name: consumerName }), { name }, 'the consumer');
    const { rows } = await this.#db.query<StatusRow>(statusOf('WHERE name = $1'), [name]);
    const [row] = rows;
    if (!row) throw notFound('event consumer', name);
    return toStatus(row);
  }

  /** The latest first, 20 a page. @throws AppError NOT_FOUND for an unknown consumer, VALIDATION_ERROR. */
  async deadLetters(name: string, page: PageRequest = {}): Promise<Page<EventDeadLetter>> {
    await this.get(name);
    const start = await readPageRequest(this.#db, page, { list: 'event-dead-letters', scope: [name], key: letterKey });
    const [beyond, order] = start.direction === 'next' ? ['<', 'DESC'] : ['>', 'ASC'];
    const from = start.key ? `AND (failed_at, event_id) ${beyond} ($3::timestamptz, $4::uuid)` : '';
    const { rows } = await this.#db.query<DeadLetterRow>(
      `SELECT event, event_id, attempts, error, failed_at, redrive,
         to_char(failed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS failed_key
       FROM treadle.event_dead_letters WHERE consumer = $1 ${from}
       ORDER BY failed_at ${order}, event_id ${order} LIMIT $2`,
      [name, start.limit + 1, ...(start.key ?? [])],
    );
    return pageOf(rows, start, {
      keyOf: (row): [string, string] => [row.failed_key, row.event_id],
      toItem: toDeadLetter,
    });
  }

  /**
   * Has dead letters handled once more, all or those of the given events, by whichever process runs the consumer; what fails again
   * is a dead letter again. Answers how many.
   * @throws AppError NOT_FOUND for an unknown consumer, VALIDATION_ERROR.
   */
  async redrive(name: string, eventIds?: readonly string[]): Promise<number> {
    const { ids } = parseOrThrow(z.object({ ids: idsShape }), { ids: eventIds }, 'the dead letters');
    await this.get(name);
    const { rowCount } = await this.#db.query(
      `UPDATE treadle.event_dead_letters SET redrive = true
       WHERE consumer = $1 AND NOT redrive ${ids ? 'AND event_id = ANY ($2::uuid[])' : ''}`,
      ids ? [name, ids] : [name],
    );
    return rowCount ?? 0;
  }

  /**
   * Forgets a consumer that is no more, with its position and its dead letters: no event is kept for it any longer.
   * @throws AppError NOT_FOUND; DATA_CONSISTENCY_ERROR while a process runs it.
   */
  async forget(name: string): Promise<void> {
    await this.get(name);
    const { rowCount } = await this.#db.query(
      `DELETE FROM treadle.event_consumers WHERE name = $1 AND (holder IS NULL OR held_until < clock_timestamp())`,
      [name],
    );
    if (rowCount === 1) return;
    throw new AppError('DATA_CONSISTENCY_ERROR', 'a process runs the consumer: take it out of its module first', {
      entity: 'event consumer',
      entityId: name,
    });
  }

  /** For /metrics. */
  async metrics(): Promise<readonly Metric[]> {
    const all = await this.list();
    const of = (name: string, help: string, type: 'gauge' | 'counter', valueOf: (one: ConsumerStatus) => number) => ({
      name: `treadle_event_consumer_${name}`,
      help,
      type,
      samples: all.map((one) => ({ labels: { consumer: one.name }, value: valueOf(one) })),
    });
    return [
      of('lag_events', 'Events that a consumer has yet to handle, counted up to 10,000.', 'gauge', ({ lag }) => lag),
      of('lag_seconds', 'Age of the oldest event that a consumer has yet to handle.', 'gauge', (one) => one.lagSeconds),
      of('held', 'Whether a process runs the consumer.', 'gauge', ({ holder }) => Number(holder !== null)),
      of('dead_letters', 'Events that a consumer failed with for good.', 'gauge', (one) => one.deadLetters),
      of(
        'missed_total',
        'Events that retention took away before they were handled.',
        'counter',
        ({ missed }) => missed,
      ),
    ];
  }
}
