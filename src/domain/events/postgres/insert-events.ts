import { queryOften, type Queryable } from '../../../lib/postgres/queryable.ts';
import type { ParsedEvent } from '../domain-event.ts';

/** Numbers are given in the order of the input. */
const statement = `INSERT INTO treadle.events (id, type, workspace_id, aggregate_id, version, data, actor, occurred_on)
  SELECT id, type, workspace_id, aggregate_id, version, data::jsonb,
    coalesce(actor, nullif(current_setting('treadle.actor', true), '')), coalesce(occurred_on, now())
  FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::timestamptz[])
    WITH ORDINALITY AS event (id, type, workspace_id, aggregate_id, version, data, actor, occurred_on, place)
  ORDER BY place
  ON CONFLICT (id) DO NOTHING
  RETURNING id, actor, occurred_on`;

/** What Postgres has added to an event. */
export interface InsertedEvent {
  readonly id: string;
  readonly actor: string | null;
  readonly occurred_on: Date;
}

/** Writes events with one statement; ids that are there are left out of it and of the answer. */
export const insertEvents = async (
  db: Queryable,
  events: readonly ParsedEvent[],
): Promise<readonly InsertedEvent[]> => {
  if (events.length === 0) return [];
  const { rows } = await queryOften<InsertedEvent>(db, statement, [
    events.map(({ id }) => id),
    events.map(({ type }) => type),
    events.map(({ workspaceId }) => workspaceId),
    events.map(({ aggregateId }) => aggregateId),
    events.map(({ version }) => version),
    events.map(({ data }) => JSON.stringify(data)),
    events.map(({ actor }) => actor),
    events.map(({ occurredOn }) => occurredOn ?? null),
  ]);
  return rows;
};
