import type { JobContract, PayloadInputOf, ResultOf } from '../queues/define-job.ts';
import type { FlowNode } from '../queues/flows/prepare-flow.ts';
import type { JobRecord, Page } from '../queues/ledger/job-record.ts';
import type { AcceptedJob, EnqueueOptions, JobFilter } from '../queues/ports.ts';

/** A job as the ledger knows it, with the types of its contract. */
export interface JobOf<C extends JobContract> extends Omit<JobRecord, 'payload' | 'result'> {
  readonly payload: PayloadInputOf<C>;
  /** Null until the job has completed. */
  readonly result: ResultOf<C> | null;
}

export interface WaitOptions {
  /** How long to wait at most; 30 s unless given. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PageRequest {
  /** 1 to 100; 20 unless given. */
  readonly limit?: number | undefined;
  /** `nextCursor` or `prevCursor` of an earlier page. */
  readonly cursor?: string | undefined;
}

/**
 * What an app does with jobs. The same over HTTP and straight to the database; every method throws AppError with a code of
 * the catalogue, VALIDATION_ERROR with every fault named, before anything is written.
 */
export interface TreadleClient {
  /** Accepts a job: once this has answered it will run, whatever crashes. */
  enqueue<C extends JobContract>(
    contract: C,
    payload: PayloadInputOf<C>,
    options?: EnqueueOptions,
  ): Promise<AcceptedJob>;
  /** All or none. */
  enqueueMany<C extends JobContract>(
    contract: C,
    payloads: readonly PayloadInputOf<C>[],
    options?: Omit<EnqueueOptions, 'idempotencyKey'>,
  ): Promise<readonly AcceptedJob[]>;
  /** All jobs of a flow, or none: each runs when the jobs below it have ended. Answers the one at its root. */
  enqueueFlow(root: FlowNode): Promise<AcceptedJob>;
  /** @throws AppError VALIDATION_ERROR when the id is another job's, or its result does not fit the contract. */
  find<C extends JobContract>(contract: C, id: string): Promise<JobOf<C> | undefined>;
  /**
   * The job when it has finished, or as it is at the time-out; undefined for an unknown id. Throws as `find` does, and the
   * signal's reason.
   */
  wait<C extends JobContract>(contract: C, id: string, options?: WaitOptions): Promise<JobOf<C> | undefined>;
  /** Newest first. */
  list(filter?: JobFilter, page?: PageRequest): Promise<Page<JobRecord>>;
  /** Open jobs end as cancelled; a running one's signal is aborted. @throws AppError DATA_CONSISTENCY_ERROR for finished ones. */
  cancel(id: string): Promise<JobRecord>;
  /** Runs a dead, cancelled or waiting-for-retry job again now. */
  retry(id: string): Promise<JobRecord>;
  /** Runs a delayed job now. */
  promote(id: string): Promise<JobRecord>;
  close(): Promise<void>;
}
