import { sql, type Kysely } from 'kysely';
import { notFound } from '../../lib/errors/app-error.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { commonOf, diagramColumns, diagramDefaults, type EntityRow, type EntityTable } from './entity-table.ts';
import { EntityStore, type Expectation } from './entity-store.ts';
import { eventStormInput, eventStormPatch, type EventStormInput, type EventStormPatch } from './input.ts';
import type { Aggregate, EventStorm, NodeElement } from './types.ts';

interface EventStormRow extends EntityRow {
  readonly storm_id: string;
  readonly name: string;
  readonly description: string | null;
  readonly status: EventStorm['status'];
  readonly edges_data: EventStorm['edges'];
  readonly viewport_data: EventStorm['viewport'];
  readonly domain_context: string | null;
  readonly time_horizon: string | null;
  readonly aggregates: readonly Aggregate[];
  readonly metadata: EventStorm['metadata'];
}

export const eventStorms: EntityTable<EventStorm, EventStormRow> = {
  feature: 'event-storm',
  table: 'event_storms',
  idColumn: 'storm_id',
  columns: {
    ...diagramColumns,
    domainContext: 'domain_context',
    timeHorizon: 'time_horizon',
    aggregates: 'aggregates',
  },
  defaults: { ...diagramDefaults, domain_context: null, time_horizon: null, aggregates: [] },
  input: eventStormInput,
  patch: eventStormPatch,
  idOf: (row) => row.storm_id,
  toEntity: (row) => ({
    stormId: row.storm_id,
    ...commonOf(row),
    name: row.name,
    description: row.description,
    status: row.status,
    edges: row.edges_data,
    viewport: row.viewport_data,
    domainContext: row.domain_context,
    timeHorizon: row.time_horizon,
    aggregates: row.aggregates,
    metadata: row.metadata,
  }),
};

/** The type of the elements that stand for domain events. */
const eventType = 'event';

/** Event storms: boards of domain events. Every method names the workspace. */
export class EventStormRepository {
  readonly entities: EntityStore<EventStorm, EventStormRow>;
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
    this.entities = new EntityStore(db, eventStorms);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND for the workspace. */
  createEventStorm(workspaceId: string, storm: EventStormInput): Promise<EventStorm> {
    return this.entities.insertOne(workspaceId, storm);
  }

  getEventStorm(workspaceId: string, stormId: string): Promise<EventStorm | undefined> {
    return this.entities.find(workspaceId, stormId);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND, DATA_CONSISTENCY_ERROR when it has another revision by now. */
  updateEventStorm(
    workspaceId: string,
    stormId: string,
    updates: EventStormPatch,
    expected: Expectation = {},
  ): Promise<EventStorm> {
    return this.entities.updateOne(workspaceId, { id: stormId, patch: updates, ...expected });
  }

  /** Marks it as deleted; its links go. @throws AppError NOT_FOUND, DATA_CONSISTENCY_ERROR. */
  deleteEventStorm(workspaceId: string, stormId: string, expected: Expectation = {}): Promise<void> {
    return this.entities.delete(workspaceId, [{ id: stormId, ...expected }]);
  }

  /** Those of exactly this domain, latest change first. */
  async getEventStormByDomain(workspaceId: string, domain: string): Promise<readonly EventStorm[]> {
    if (!isUuid(workspaceId)) return [];
    const { rows } = await sql<EventStormRow>`SELECT * FROM treadle.event_storms
      WHERE workspace_id = ${workspaceId} AND md5(domain_context) = md5(${domain}) AND domain_context = ${domain}
        AND deleted_at IS NULL
      ORDER BY updated_at DESC, storm_id DESC LIMIT 1000`.execute(this.#db);
    return rows.map(eventStorms.toEntity);
  }

  /** The elements of type `event`. @throws AppError NOT_FOUND. */
  async getEventStormEvents(workspaceId: string, stormId: string): Promise<readonly NodeElement[]> {
    const storm = await this.entities.find(workspaceId, stormId);
    if (!storm) throw notFound('event-storm', stormId);
    return storm.nodes.filter(({ type }) => type === eventType);
  }

  /** Replaces the aggregates. @throws as {@link updateEventStorm}. */
  updateEventStormAggregates(
    workspaceId: string,
    stormId: string,
    aggregates: readonly Aggregate[],
    expected: Expectation = {},
  ): Promise<EventStorm> {
    return this.entities.updateOne(workspaceId, { id: stormId, patch: { aggregates }, ...expected });
  }
}
