import type { DomainEvent } from './domain-event.ts';
import type { Position } from './position.ts';

/** Which events a history shows; all fields together. */
export interface EventFilter {
  readonly type?: string | undefined;
  readonly aggregateId?: string | undefined;
  readonly workspaceId?: string | undefined;
  /** Later than this, to the millisecond. */
  readonly after?: Date | undefined;
  /** Earlier than this, to the millisecond. */
  readonly before?: Date | undefined;
}

/** An event with its place in the order of commits. */
export interface RecordedEvent {
  readonly position: Position;
  readonly event: DomainEvent;
  /** What its data take in the table. */
  readonly bytes: number;
}

/** Events that follow each other. */
export interface Stretch {
  readonly events: readonly RecordedEvent[];
  /** Up to here these are all events that were asked for. */
  readonly to: Position;
  /** There are more beyond `to` already. */
  readonly more: boolean;
  /** There are events that wait for an older transaction to end. */
  readonly held: boolean;
}

/** Which events a follower is told of. */
export interface Followed {
  /** Types and patterns, all by default. */
  readonly types?: readonly string[] | undefined;
  readonly workspaceId?: string | undefined;
}
