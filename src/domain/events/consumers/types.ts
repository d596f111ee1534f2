import type { EventJson } from '../domain-event.ts';

/** What is kept of an error. */
export interface ConsumerFault {
  readonly code: string;
  readonly message: string;
}

/** A durable consumer as it stands. */
export interface ConsumerStatus {
  readonly name: string;
  readonly types: readonly string[];
  /** The process that runs it; null while nobody does. */
  readonly holder: string | null;
  /** Events of its types that it has yet to handle; counted up to 10,000 events of any type. */
  readonly lag: number;
  /** Since the oldest of them was recorded. */
  readonly lagSeconds: number;
  /** Failures of the event that comes next, the last of them, and when it is tried again. */
  readonly attempts: number;
  readonly error: ConsumerFault | null;
  readonly nextAttemptAt: Date | null;
  readonly deadLetters: number;
  /** Events that retention took away before they were handled, and when it did so last. */
  readonly missed: number;
  readonly missedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** An event that a consumer has failed with for good. */
export interface EventDeadLetter {
  readonly event: EventJson;
  readonly attempts: number;
  readonly error: ConsumerFault;
  readonly failedAt: Date;
  /** Somebody wants it to be handled once more. */
  readonly redrive: boolean;
}
