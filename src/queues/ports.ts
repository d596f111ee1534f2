import type { Queryable } from '../lib/postgres/queryable.ts';
import type { JobContract, PayloadInputOf } from './define-job.ts';
import type { JobRecord, JobState, Page } from './ledger/job-record.ts';

/** Options of an enqueue; the same in TypeScript, HTTP and SQL. */
export interface EnqueueOptions {
  readonly delayMs?: number | undefined;
  readonly runAt?: Date | undefined;
  /** 1 first … 9 last; the contract's by default. */
  readonly priority?: number | undefined;
  /** Whose turn the job takes; the payload's workspaceId by default. */
  readonly tenant?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly attempts?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly deduplicationKey?: string | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly parent?: string | undefined;
}

export interface EnqueueContext {
  /** The caller's open transaction: the job exists if and only if it commits. */
  readonly tx?: Queryable;
}

export interface AcceptedJob {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly state: JobState;
}

export interface EnqueueRequest {
  readonly name: string;
  readonly payload: unknown;
  readonly options?: EnqueueOptions;
}

/** How jobs get in. Every method validates first and throws VALIDATION_ERROR naming every fault, before anything is written. */
export interface Enqueuer {
  enqueue<C extends JobContract>(
    contract: C,
    payload: PayloadInputOf<C>,
    options?: EnqueueOptions & EnqueueContext,
  ): Promise<AcceptedJob>;
  enqueueMany<C extends JobContract>(
    contract: C,
    payloads: readonly PayloadInputOf<C>[],
    options?: Omit<EnqueueOptions, 'idempotencyKey'> & EnqueueContext,
  ): Promise<readonly AcceptedJob[]>;
  /** By name, for HTTP and the command line. NOT a way around `durability: 'queue'`: such jobs are refused. */
  enqueueByName(
    request: EnqueueRequest,
    context?: EnqueueContext & { readonly idempotencyScope?: string },
  ): Promise<AcceptedJob>;
  /** All or nothing; faults carry the index of their job. */
  enqueueBatch(requests: readonly EnqueueRequest[], context?: EnqueueContext): Promise<readonly AcceptedJob[]>;
}

export interface JobFilter {
  readonly queue?: string | undefined;
  readonly state?: JobState | undefined;
  readonly name?: string | undefined;
  readonly tag?: string | undefined;
  readonly tenant?: string | undefined;
}

export interface JobEvent {
  readonly type: 'state' | 'progress';
  readonly job: JobRecord;
}

/** Reads and acts on jobs, whichever state they are in. */
export interface JobStore {
  find(id: string): Promise<JobRecord | undefined>;
  list(
    filter: JobFilter,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<JobRecord>>;
  /** Resolves when the job has finished, or with its present record at the time-out; undefined for an unknown id. */
  wait(id: string, timeoutMs: number, signal?: AbortSignal): Promise<JobRecord | undefined>;
  /** The job's record now and at each change, until it has finished or `signal` aborts. */
  watch(id: string, signal: AbortSignal): AsyncIterable<JobEvent>;
  /** Open jobs end as cancelled; a running one's signal is aborted. Finished ones: DATA_CONSISTENCY_ERROR. */
  cancel(id: string): Promise<JobRecord>;
  /** Runs a dead, cancelled or waiting-for-retry job again now. */
  retry(id: string): Promise<JobRecord>;
  /** Runs a delayed job now. */
  promote(id: string): Promise<JobRecord>;
  /** Takes a job that is not running out of the ledger for good. */
  remove(id: string): Promise<void>;
}

export interface QueueSummary {
  readonly name: string;
  readonly transport: 'bullmq' | 'pg-boss';
  readonly paused: boolean;
  readonly counts: Readonly<Record<JobState, number>>;
  /** Age of the oldest job that may run and does not yet; null when there is none. */
  readonly oldestWaitingMs: number | null;
  /** Over the last five minutes. */
  readonly completedPerMinute: number;
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null };
}

export interface QueueAdmin {
  list(): Promise<readonly QueueSummary[]>;
  pause(queue: string): Promise<void>;
  resume(queue: string): Promise<void>;
}

export interface DeadLetterFilter {
  readonly ids?: readonly string[] | undefined;
  readonly queue?: string | undefined;
  readonly name?: string | undefined;
  readonly errorCode?: string | undefined;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
}

export interface DeadLetters {
  list(
    filter: DeadLetterFilter,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<JobRecord>>;
  /** Puts up to `limit` matching dead letters back to work and answers how many. */
  redrive(filter: DeadLetterFilter, limit: number): Promise<number>;
}

export interface Schedule {
  readonly name: string;
  readonly jobName: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly cron: string;
  readonly timeZone: string;
  readonly misfire: 'skip' | 'once' | 'all';
  readonly paused: boolean;
  readonly builtIn: boolean;
  readonly lastFireAt: Date | null;
  readonly nextFireAt: Date | null;
}

export interface ScheduleInput {
  readonly jobName: string;
  readonly payload?: Readonly<Record<string, unknown>> | undefined;
  readonly options?: Readonly<Record<string, unknown>> | undefined;
  readonly cron: string;
  readonly timeZone?: string | undefined;
  readonly misfire?: 'skip' | 'once' | 'all' | undefined;
  readonly paused?: boolean | undefined;
}

export interface ScheduleStore {
  list(): Promise<readonly Schedule[]>;
  find(name: string): Promise<Schedule | undefined>;
  put(name: string, input: ScheduleInput): Promise<Schedule>;
  remove(name: string): Promise<void>;
}
