import { z } from 'zod';
import { AppError } from '../../../lib/errors/app-error.ts';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../../lib/postgres/keyset-page.ts';
import type { Postgres } from '../../../lib/postgres/postgres.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { DomainEvent, type ParsedEvent } from '../domain-event.ts';
import { likePatterns } from '../event-type.ts';
import type { EventFilter, RecordedEvent, Stretch } from '../types.ts';
import { isAfter, startOf, type Position, type Start } from '../position.ts';
import { eventColumns, toEvent, type EventRow } from './event-rows.ts';
import { insertEvents } from './insert-events.ts';
import { laterThan, PostgresEventStorage } from './postgres-event-storage.ts';

const latestKey = z.tuple([z.iso.datetime(), z.guid()]);
/** Of one read: what the rows take in the table, which packs long values. */
const mostBytes = 4_194_304;

interface StretchRow extends EventRow {
  /** Null in the one row of an empty answer. */
  readonly xid: string | null;
  readonly seq: string;
  readonly horizon: string;
  readonly held: boolean;
  readonly bytes: number;
  /** How many there were before large ones were cut off. */
  readonly found: number | null;
}

const readStatement = (conditions: string): string => `
  WITH edge AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin),
  found AS (
    SELECT xid, seq, ${eventColumns}, pg_column_size(data) AS bytes FROM treadle.events
    WHERE (xid, seq) > ($1::xid8, $2::bigint) AND xid < (SELECT xmin FROM edge) ${conditions}
    ORDER BY xid, seq LIMIT $3
  ), summed AS (
    SELECT *, sum(bytes) OVER (ORDER BY xid, seq) - bytes AS bytes_before, count(*) OVER () AS found FROM found
  )
  SELECT xmin::text AS horizon, EXISTS (SELECT FROM treadle.events WHERE xid >= edge.xmin) AS held,
    found::integer, summed.xid::text AS xid, seq::text AS seq, bytes, ${eventColumns}
  FROM edge LEFT JOIN summed ON bytes_before < ${mostBytes}
  ORDER BY summed.xid, summed.seq`;

const alreadyThere = (id: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', `the id ${id} is that of another event`, { entity: 'event', entityId: id });

/** The statements on `treadle.events` as the record of what happened. */
export class EventRecord {
  /** The record as a storage. */
  readonly storage: PostgresEventStorage;
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
    this.storage = new PostgresEventStorage(postgres);
  }

  /**
   * Writes events in their order, all or none: in the caller's transaction, if one is given. `mayBeThere`: some of the ids
   * are the caller's own, and an event that is there already with the same content is the one that is meant.
   * @throws AppError DATA_CONSISTENCY_ERROR for an id of another event.
   */
  async append(
    events: readonly ParsedEvent[],
    { tx, mayBeThere }: { readonly tx: Queryable | undefined; readonly mayBeThere: boolean },
  ): Promise<readonly DomainEvent[]> {
    const append = (db: Queryable): Promise<readonly DomainEvent[]> => this.#append(db, events);
    if (tx) return append(tx);
    return mayBeThere ? this.#postgres.transaction(append, { name: 'events.publish' }) : append(this.#postgres);
  }

  async #append(db: Queryable, events: readonly ParsedEvent[]): Promise<readonly DomainEvent[]> {
    const inserted = new Map((await insertEvents(db, events)).map((row) => [row.id, row]));
    if (inserted.size < events.length) await this.#checkSame(db, events);
    const there = inserted.size < events.length ? await this.#find(db, events) : new Map<string, DomainEvent>();
    return events.map((event) => {
      const row = inserted.get(event.id);
      const known = row
        ? new DomainEvent({ ...event, actor: row.actor, occurredOn: row.occurred_on })
        : there.get(event.id);
      if (!known) throw alreadyThere(event.id);
      return known;
    });
  }

  async #find(db: Queryable, events: readonly ParsedEvent[]): Promise<ReadonlyMap<string, DomainEvent>> {
    const { rows } = await db.query<EventRow>(
      `SELECT ${eventColumns} FROM treadle.events WHERE id = ANY ($1::uuid[])`,
      [events.map(({ id }) => id)],
    );
    return new Map(rows.map((row) => [row.id, toEvent(row)]));
  }

  async #checkSame(db: Queryable, events: readonly ParsedEvent[]): Promise<void> {
    const { rows } = await db.query<{ id: string }>(
      `SELECT given.id FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::integer[], $6::text[])
         AS given (id, type, workspace_id, aggregate_id, version, data)
       LEFT JOIN treadle.events AS event ON event.id = given.id
       WHERE (event.type, event.workspace_id, event.aggregate_id, event.version, event.data)
         IS DISTINCT FROM (given.type, given.workspace_id, given.aggregate_id, given.version, given.data::jsonb) LIMIT 1`,
      [
        events.map(({ id }) => id),
        events.map(({ type }) => type),
        events.map(({ workspaceId }) => workspaceId),
        events.map(({ aggregateId }) => aggregateId),
        events.map(({ version }) => version),
        events.map(({ data }) => JSON.stringify(data)),
      ],
    );
    const [other] = rows;
    if (other) throw alreadyThere(other.id);
  }

  /** The latest first, 20 a page. @throws AppError VALIDATION_ERROR for a limit or a cursor that does not fit. */
  async list(filter: EventFilter, request: PageRequest): Promise<Page<DomainEvent>> {
    const { type, aggregateId, workspaceId, after, before } = filter;
    const scope = [type, aggregateId, workspaceId, after, before];
    const start = await readPageRequest(this.#postgres, request, { list: 'events', scope, key: latestKey });
    const [beyond, order] = start.direction === 'next' ? ['<', 'DESC'] : ['>', 'ASC'];
    const values: unknown[] = [start.limit + 1];
    const conditions: string[] = [];
    if (type !== undefined) conditions.push(`type = $${values.push(type)}`);
    if (aggregateId !== undefined) conditions.push(`aggregate_id = $${values.push(aggregateId)}`);
    if (workspaceId !== undefined) conditions.push(`workspace_id = $${values.push(workspaceId)}::uuid`);
    if (after) conditions.push(laterThan(`$${values.push(after)}`));
    if (before) conditions.push(`occurred_on < $${values.push(before)}`);
    if (start.key) {
      const [time, id] = [values.push(start.key[0]), values.push(start.key[1])];
      conditions.push(`(occurred_on, id) ${beyond} ($${time}::timestamptz, $${id}::uuid)`);
    }
    const { rows } = await this.#postgres.reader.query<EventRow & { readonly occurred_key: string }>(
      `SELECT ${eventColumns}, to_char(occurred_on AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS occurred_key
       FROM treadle.events ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
       ORDER BY occurred_on ${order}, id ${order} LIMIT $1`,
      values,
    );
    return pageOf(rows, start, { keyOf: (row): [string, string] => [row.occurred_key, row.id], toItem: toEvent });
  }

  /**
   * The events after a position in the order of their transactions, none of which can be preceded by another one later: those
   * below the oldest transaction that still runs. At most `limit`, and of large ones fewer.
   */
  async read(
    after: Position,
    {
      limit,
      types = ['*'],
      workspaceId,
    }: { readonly limit: number; readonly types?: readonly string[]; readonly workspaceId?: string | undefined },
  ): Promise<Stretch> {
    const values: unknown[] = [after.xid.toString(), after.seq.toString(), limit];
    const conditions: string[] = [];
    const patterns = likePatterns(types);
    if (patterns) conditions.push(`AND type LIKE ANY ($${values.push(patterns)}::text[])`);
    if (workspaceId !== undefined) conditions.push(`AND workspace_id = $${values.push(workspaceId)}::uuid`);
    const { rows } = await this.#postgres.queryPrepared<StretchRow>(readStatement(conditions.join(' ')), values);
    const events = rows.flatMap((row): RecordedEvent[] =>
      row.xid === null
        ? []
        : [{ position: { xid: BigInt(row.xid), seq: BigInt(row.seq) }, event: toEvent(row), bytes: row.bytes }],
    );
    const [first] = rows;
    if (!first) throw new Error('the read of events answered no row');
    const { horizon, held, found } = first;
    const last = events.at(-1);
    const more = last !== undefined && (found === limit || found !== events.length);
    const to = more ? last.position : { xid: BigInt(horizon), seq: 0n };
    return { events, to: isAfter(to, after) ? to : after, more, held };
  }

  async now(): Promise<Start> {
    const { rows } = await this.#postgres.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
    return startOf(rows[0]?.snapshot ?? '');
  }

  /** Mends positions that came with a dump from another cluster; answers how many events were renumbered. */
  async rebase(): Promise<number> {
    const { rows } = await this.#postgres.query<{ ahead: boolean }>('SELECT treadle.events_are_ahead() AS ahead');
    if (rows[0]?.ahead !== true) return 0;
    return this.#postgres.transaction(
      async (tx) => {
        const { rows: done } = await tx.query<{ events: number }>('SELECT treadle.rebase_events()::float8 AS events');
        return done[0]?.events ?? 0;
      },
      { name: 'events.rebase', timeoutMs: 600_000 },
    );
  }
}
