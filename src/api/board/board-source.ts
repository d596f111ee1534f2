import type { JobRecord, JobState } from '../../queues/ledger/job-record.ts';

/**
 * Where the board finds jobs of one queue. The ledger is one; what lies in a queue without a row in the ledger (jobs
 * enqueued straight to it) can be another. Ids of different sources differ.
 */
export interface BoardSource {
  counts(queue: string): Promise<Readonly<Partial<Record<JobState, number>>>>;
  /** Jobs in any of the states, newest first, at most `limit`. */
  list(queue: string, states: readonly JobState[], limit: number): Promise<readonly JobRecord[]>;
  find(queue: string, id: string): Promise<JobRecord | undefined>;
  retry(id: string): Promise<void>;
  promote(id: string): Promise<void>;
  remove(id: string): Promise<void>;
}

/** A job and the source that acts on it. */
export interface BoardEntry {
  readonly record: JobRecord;
  readonly source: BoardSource;
}
