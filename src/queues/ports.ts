import type { Queryable } from '../lib/postgres/queryable.ts';
import type { PathFilter } from '../lib/json/path-filter.ts';
import type { JobContract, PayloadInputOf } from './define-job.ts';
import type { FlowNode } from './flows/prepare-flow.ts';
import type { JobRecord, JobState, Page } from './ledger/job-record.ts';

/** Options of an enqueue; the same in TypeScript, HTTP and SQL. */
export interface EnqueueOptions {
  readonly delayMs?: number | undefined;
  readonly runAt?: Date | undefined;
  /** Of jobs with one deduplication key the last runs, when so much time has passed without another. */
  readonly debounceMs?: number | undefined;
  /** With debounceMs: it runs so long after the first of them at the latest. */
  readonly debounceMaxMs?: number | undefined;
  /** Of jobs with one deduplication key at most one comes due in so much time: the first at once, the last at its end. */
  readonly throttleMs?: number | undefined;
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
  /** All jobs of a flow, or none: each runs when the jobs below it have ended. Answers the one at its root. */
  enqueueFlow(root: FlowNode, context?: EnqueueContext): Promise<AcceptedJob>;
}

export interface JobFilter {
  readonly queue?: string | undefined;
  readonly state?: JobState | undefined;
  readonly name?: string | undefined;
  readonly tag?: string | undefined;
  readonly tenant?: string | undefined;
  /** The children of this job. */
  readonly parent?: string | undefined;
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
  /** Open jobs end as cancelled, their open children too; a running one's signal is aborted. Finished ones: DATA_CONSISTENCY_ERROR. */
  cancel(id: string): Promise<JobRecord>;
  /** Cancels the open children of a job, and theirs. */
  cancelChildren(id: string): Promise<void>;
  /** Runs a dead, cancelled or waiting-for-retry job again now; with its failed children, if it ended for them. */
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
  /** There are so many finished jobs that their counts are estimates. */
  readonly finishedEstimated: boolean;
  /** Age of the oldest job that may run and does not yet; null when there is none. */
  readonly oldestWaitingMs: number | null;
  /** Age of the oldest job that may run and that the relay has not picked; null when there is none. */
  readonly relayLagMs: number | null;
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
  readonly tenant?: string | undefined;
  readonly tag?: string | undefined;
  /** What the payload holds at these paths. */
  readonly payload?: PathFilter | undefined;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
}

export interface DeadLetters {
  list(
    filter: DeadLetterFilter,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<JobRecord>>;
  count(filter: DeadLetterFilter): Promise<number>;
  /** Puts up to `limit` matching dead letters back to work and answers how many. */
  redrive(filter: DeadLetterFilter, limit: number): Promise<number>;
}

/** What becomes of fire times that nobody was there for: none runs, the latest, or each. */
export type MisfirePolicy = 'skip' | 'once' | 'all';

/** A stored schedule. One of `cron`, `everyMs` and `at` is not null. */
export interface Schedule {
  readonly name: string;
  readonly jobName: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly cron: string | null;
  /** Of `cron`; UTC for the others. */
  readonly timeZone: string;
  readonly everyMs: number | null;
  /** From when `everyMs` counts. */
  readonly anchorAt: Date | null;
  readonly at: Date | null;
  readonly misfire: MisfirePolicy;
  readonly paused: boolean;
  readonly builtIn: boolean;
  readonly lastFireAt: Date | null;
  /** Null while paused, and when no fire time is left. */
  readonly nextFireAt: Date | null;
}

/** What a schedule is to be: exactly one of `cron`, `everyMs` and `at`. Times are Dates, or ISO 8601 with their offset. */
export interface ScheduleInput {
  readonly jobName: string;
  readonly payload?: unknown;
  readonly options?: Readonly<Record<string, unknown>> | undefined;
  /** Five fields, or six with seconds first. */
  readonly cron?: string | undefined;
  /** An IANA name, for `cron` only; UTC by default. */
  readonly timeZone?: string | undefined;
  /** At least a second. */
  readonly everyMs?: number | undefined;
  /** From when `everyMs` counts; by default from when the schedule was made. */
  readonly anchorAt?: Date | string | undefined;
  /** Once, then. */
  readonly at?: Date | string | undefined;
  /** `once` by default. */
  readonly misfire?: MisfirePolicy | undefined;
  readonly paused?: boolean | undefined;
}

/** One time of a schedule that came, or one run that somebody asked for. */
export interface ScheduleFire {
  readonly fireAt: Date;
  /** When a scheduler dealt with it. */
  readonly firedAt: Date;
  readonly lateMs: number;
  readonly byHand: boolean;
  /** Dropped by the misfire policy: there is no job. */
  readonly skipped: boolean;
  readonly jobId: string | null;
  /** Null for a skipped one, and for a job that is no longer kept. */
  readonly jobState: JobState | null;
}

/** Every method that takes the name of a schedule, except `find` and `put`, throws NOT_FOUND when there is none. */
export interface ScheduleStore {
  list(): Promise<readonly Schedule[]>;
  find(name: string): Promise<Schedule | undefined>;
  /** Makes a schedule or replaces it whole; `paused` stays as it is when it is not given. Throws VALIDATION_ERROR naming every fault. */
  put(name: string, input: ScheduleInput): Promise<Schedule>;
  remove(name: string): Promise<void>;
  pause(name: string): Promise<Schedule>;
  /** Times that came while it was paused are not made up for. */
  resume(name: string): Promise<Schedule>;
  /** Makes its job now, also while it is paused; its other times stay as they are. */
  run(name: string): Promise<AcceptedJob>;
  /** The next `limit` times, 1 to 100; none while paused. */
  nextFires(name: string, limit: number): Promise<readonly Date[]>;
  /** What it did, the latest first. */
  fires(
    name: string,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<ScheduleFire>>;
}
