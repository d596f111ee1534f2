import { DomainEvent, type EventData } from '../domain-event.ts';

export interface EventRow {
  readonly id: string;
  readonly type: string;
  readonly occurred_on: Date;
  readonly aggregate_id: string;
  readonly version: number | null;
  readonly data: EventData;
  readonly workspace_id: string | null;
  readonly actor: string | null;
}

export const eventColumns = 'id, type, occurred_on, aggregate_id, version, data, workspace_id, actor';

export const toEvent = (row: EventRow): DomainEvent =>
  new DomainEvent({
    id: row.id,
    type: row.type,
    occurredOn: row.occurred_on,
    aggregateId: row.aggregate_id,
    version: row.version,
    data: row.data,
    workspaceId: row.workspace_id,
    actor: row.actor,
  });
