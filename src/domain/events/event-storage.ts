import { z } from 'zod';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { storableText } from '../../lib/text/storable.ts';
import { eventTime, type DomainEvent } from './domain-event.ts';
import { eventType } from './event-type.ts';

/** Which events are wanted; all fields together. */
export interface EventCriteria {
  readonly eventType?: string | undefined;
  readonly aggregateId?: string | undefined;
  /** Later than this, to the millisecond. */
  readonly after?: Date | undefined;
  /** Earlier than this, to the millisecond. */
  readonly before?: Date | undefined;
  /** 100 by default, at most 1,000. */
  readonly limit?: number | undefined;
}

export interface EventStorageStats {
  readonly totalEvents: number;
  readonly typeCounts: Readonly<Record<string, number>>;
  readonly connected: boolean;
}

/**
 * Keeps events. Saving an id that is there leaves the event as it is. Every storage passes the suite of
 * `event-storage-suite.ts`, an app's own too.
 */
export interface EventStorage {
  save(event: DomainEvent): Promise<void>;
  /** All of them, in few round trips. When it throws, some may have been saved; saving them again is harmless. */
  saveBatch(events: readonly DomainEvent[]): Promise<void>;
  load(eventId: string): Promise<DomainEvent | null>;
  /** Whether it was there. */
  delete(eventId: string): Promise<boolean>;
  /**
   * The latest first, by when they occurred; of one time those with the greater id.
   * @throws AppError VALIDATION_ERROR for criteria that do not fit, naming the field.
   */
  query(criteria: EventCriteria): Promise<readonly DomainEvent[]>;
  getStats(): Promise<EventStorageStats>;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  isConnected(): boolean;
  /** Whether it answers. Never throws. */
  healthCheck(): Promise<boolean>;
}

const limit = z
  .int({ error: 'must be a whole number from 1 to 1,000' })
  .min(1, 'must be at least 1')
  .max(1_000, 'must be at most 1,000');

const criteriaShape = z.strictObject({
  eventType: eventType.optional(),
  aggregateId: storableText(500).min(1, 'must not be empty').optional(),
  after: eventTime.optional(),
  before: eventTime.optional(),
  limit: limit.default(100),
});

export type ParsedCriteria = z.output<typeof criteriaShape>;

/** For storages: criteria with their default. @throws AppError VALIDATION_ERROR naming every field that does not fit. */
export const parseCriteria = (criteria: EventCriteria): ParsedCriteria =>
  parseOrThrow(criteriaShape, criteria, 'the criteria');

/** Whether the event is one of those wanted. */
export const fits = (event: DomainEvent, { eventType: type, aggregateId, after, before }: EventCriteria): boolean =>
  (type === undefined || event.type === type) &&
  (aggregateId === undefined || event.aggregateId === aggregateId) &&
  (after === undefined || event.occurredOn > after) &&
  (before === undefined || event.occurredOn < before);

/** The order of {@link EventStorage.query}. */
export const latestFirst = (a: DomainEvent, b: DomainEvent): number =>
  b.occurredOn.getTime() - a.occurredOn.getTime() || (a.id < b.id ? 1 : -1);
