import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { isUuid } from '../../../lib/text/uuid.ts';
import type { DomainEvent } from '../domain-event.ts';
import { parseCriteria, type EventCriteria, type EventStorage, type EventStorageStats } from '../event-storage.ts';
import { eventColumns, toEvent, type EventRow } from './event-rows.ts';
import { insertEvents } from './insert-events.ts';

/**
 * `treadle.events`, the record: what is saved here is told to every follower. It has no connection of its own, so that
 * `connect` and `disconnect` only say whether it may be used.
 */
export class PostgresEventStorage implements EventStorage {
  readonly #db: Queryable;
  #connected = false;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async save(event: DomainEvent): Promise<void> {
    await insertEvents(this.#db, [event]);
  }

  async saveBatch(events: readonly DomainEvent[]): Promise<void> {
    await insertEvents(this.#db, events);
  }

  async load(eventId: string): Promise<DomainEvent | null> {
    if (!isUuid(eventId)) return null;
    const { rows } = await this.#db.query<EventRow>(`SELECT ${eventColumns} FROM treadle.events WHERE id = $1`, [
      eventId,
    ]);
    const [row] = rows;
    return row ? toEvent(row) : null;
  }

  async delete(eventId: string): Promise<boolean> {
    if (!isUuid(eventId)) return false;
    const { rowCount } = await this.#db.query('DELETE FROM treadle.events WHERE id = $1', [eventId]);
    return rowCount === 1;
  }

  async query(criteria: EventCriteria): Promise<readonly DomainEvent[]> {
    const { eventType, aggregateId, after, before, limit } = parseCriteria(criteria);
    const values: unknown[] = [limit];
    const conditions: string[] = [];
    if (eventType !== undefined) conditions.push(`type = $${values.push(eventType)}`);
    if (aggregateId !== undefined) conditions.push(`aggregate_id = $${values.push(aggregateId)}`);
    if (after) conditions.push(laterThan(`$${values.push(after)}`));
    if (before) conditions.push(`occurred_on < $${values.push(before)}`);
    const { rows } = await this.#db.query<EventRow>(
      `SELECT ${eventColumns} FROM treadle.events ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
       ORDER BY occurred_on DESC, id DESC LIMIT $1`,
      values,
    );
    return rows.map(toEvent);
  }

  async getStats(): Promise<EventStorageStats> {
    const { rows } = await this.#db.query<{ type: string; events: number }>(
      'SELECT type, count(*)::float8 AS events FROM treadle.events GROUP BY type ORDER BY type',
    );
    return {
      totalEvents: rows.reduce((sum, { events }) => sum + events, 0),
      typeCounts: Object.fromEntries(rows.map(({ type, events }) => [type, events])),
      connected: this.#connected,
    };
  }

  connect(): Promise<void> {
    this.#connected = true;
    return Promise.resolve();
  }

  disconnect(): Promise<void> {
    this.#connected = false;
    return Promise.resolve();
  }

  isConnected(): boolean {
    return this.#connected;
  }

  async healthCheck(): Promise<boolean> {
    try {
      await this.#db.query('SELECT 1');
      return true;
    } catch {
      return false;
    }
  }
}

/** Events are shown with milliseconds, and kept with microseconds. */
export const laterThan = (time: string): string => `occurred_on >= ${time}::timestamptz + interval '1 millisecond'`;
