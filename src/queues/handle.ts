import { AppError } from '../lib/errors/app-error.ts';
import type { Log } from '../lib/log/create-log.ts';
import type { Transaction } from '../lib/postgres/transaction.ts';
import type { Platform } from '../platform.ts';
import type { JobContract, PayloadInputOf, PayloadOf, ResultOf } from './define-job.ts';
import type { FailedAttempt } from './ledger/job-record.ts';
import type { Outcome } from './outcome.ts';
import type { EnqueueOptions } from './ports.ts';

export interface AttemptInfo {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly tenant: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly attemptsAllowed: number;
}

export type ChildOptions = Pick<
  EnqueueOptions,
  'delayMs' | 'runAt' | 'priority' | 'tenant' | 'tags' | 'attempts' | 'timeoutMs'
>;

export interface ChildCounts {
  readonly total: number;
  readonly open: number;
  readonly completed: number;
  readonly dead: number;
  readonly cancelled: number;
}

/**
 * A child that has ended. `result` is what its handler completed it with; `payload` is as it is kept: null when it has more than
 * 64 kB, encrypted fields encrypted.
 */
export interface EndedChild {
  readonly id: string;
  readonly name: string;
  readonly state: 'completed' | 'dead' | 'cancelled';
  readonly payload: Readonly<Record<string, unknown>> | null;
  readonly result: unknown;
  readonly error: FailedAttempt['error'] | null;
}

/** The jobs that a job has made to wait for. */
export interface JobChildren {
  /** How often the job has waited for its children: 0 in the first part of its work, 1 after the first wait, and so on. */
  readonly awaited: number;
  /**
   * Adds a child for each payload, a thousand at a time, so that they may be any number. When an attempt ended in the
   * middle, the next leaves out as many as were added before: the same calls must give the same payloads in the same
   * order again. A child's tenant is the job's, unless its payload or the options name one; `deduplicateBy` does not count.
   * @throws AppError VALIDATION_ERROR naming the child whose payload or options do not fit; those before it may be added.
   */
  spawn<C extends JobContract>(
    contract: C,
    payloads: Iterable<PayloadInputOf<C>> | AsyncIterable<PayloadInputOf<C>>,
    options?: ChildOptions,
  ): Promise<void>;
  /** How many there are now, of all parts of the work. */
  counts(): Promise<ChildCounts>;
  /** The children that have ended, in the order they were added, read a page at a time. */
  ended(): AsyncIterable<EndedChild>;
}

/** What a handler gets. */
export interface JobContext<C extends JobContract = JobContract> {
  readonly payload: PayloadOf<C>;
  readonly platform: Platform;
  readonly job: AttemptInfo;
  /** Aborted at the deadline, on cancellation, when the lock is lost and at shutdown. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** Shows how far the job is, 0 to 1, with an optional note. Cheap: writes are batched. */
  readonly progress: (fraction: number, note?: string) => void;
  readonly children: JobChildren;
  /**
   * Completes the job in the caller's transaction: effect and completion commit together, and of several attempts only
   * one can. Answers the outcome to return.
   * @throws OutcomeError when another attempt completed the job already; let it pass, so that the transaction rolls back.
   */
  readonly completeIn: (tx: Transaction, result: ResultOf<C>) => Promise<Outcome<ResultOf<C>>>;
}

/** The call of a handler, for what runs handlers elsewhere. */
export interface CallControl {
  /** Stops the clock of the attempt's deadline, while it waits for a place to run. */
  holdDeadline(): void;
  /** Starts the clock anew. */
  startDeadline(): void;
  /** Called when nobody waits for the handler any more. */
  onAbandoned: (() => void) | undefined;
}

/** A handler that runs in a thread of its own, where a blocked loop costs neither the job's lock nor other jobs. */
export interface ThreadIsolation {
  readonly isolation: 'thread';
  /** Exports by default what `threadHandler` makes. Where only the compiled `.js` beside a `.ts` exists, that is taken. */
  readonly module: URL;
  /**
   * The most memory that the thread's values may take, in MiB, those of the modules it loads among them; a job that needs
   * more fails. Node's own limit by default.
   */
  readonly maxHeapMb?: number;
}

export interface JobHandler<C extends JobContract = JobContract> {
  readonly contract: C;
  readonly thread?: ThreadIsolation;
  run(context: JobContext<C>, call: CallControl): Promise<Outcome<ResultOf<C>>>;
}

/** One of the jobs that a handler takes together. Its own signal is aborted when this job is cancelled, too. */
export type BatchJob<C extends JobContract = JobContract> = Pick<
  JobContext<C>,
  'payload' | 'job' | 'signal' | 'progress' | 'completeIn'
>;

export interface BatchContext<C extends JobContract = JobContract> {
  /** Of one tenant and group; at least one, at most the contract's `batchSize`. */
  readonly jobs: readonly BatchJob<C>[];
  readonly platform: Platform;
  /** Aborted at the deadline, when the lock is lost, at shutdown, and when all the jobs are cancelled. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

export interface BatchHandler<C extends JobContract = JobContract> {
  readonly contract: C;
  runBatch(context: BatchContext<C>): Promise<readonly Outcome<ResultOf<C>>[]>;
}

export type AnyHandler = JobHandler | BatchHandler;

/** Binds a contract to the function that does its work, or to the module whose function does it in a thread. */
export const handle = <C extends JobContract>(
  contract: C,
  work: ((context: JobContext<C>) => Promise<Outcome<ResultOf<C>>>) | ThreadIsolation,
): JobHandler<C> => {
  if (typeof work === 'function') return { contract, run: work };
  const outside = new AppError('CONFIGURATION_ERROR', `${contract.name} runs in a thread of a worker only`, {});
  return { contract, thread: work, run: () => Promise.reject(outside) };
};

/**
 * Binds a contract to a function that does the work of up to `batchSize` jobs of one group in one call. It answers an outcome
 * for each of them, in their order; what it throws is the outcome of all.
 */
export const handleBatch = <C extends JobContract>(
  contract: C,
  runBatch: (context: BatchContext<C>) => Promise<readonly Outcome<ResultOf<C>>[]>,
): BatchHandler<C> => ({ contract, runBatch });
