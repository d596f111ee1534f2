import type { Log } from '../lib/log/create-log.ts';
import type { Transaction } from '../lib/postgres/transaction.ts';
import type { Platform } from '../platform.ts';
import type { JobContract, PayloadOf, ResultOf } from './define-job.ts';
import type { Outcome } from './outcome.ts';

export interface AttemptInfo {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly tenant: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly attemptsAllowed: number;
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
  /**
   * Completes the job in the caller's transaction: effect and completion commit together, and of several attempts only
   * one can. Answers the outcome to return.
   * @throws OutcomeError when another attempt completed the job already; let it pass, so that the transaction rolls back.
   */
  readonly completeIn: (tx: Transaction, result: ResultOf<C>) => Promise<Outcome<ResultOf<C>>>;
}

export interface JobHandler<C extends JobContract = JobContract> {
  readonly contract: C;
  run(context: JobContext<C>): Promise<Outcome<ResultOf<C>>>;
}

/** Binds a contract to the function that does its work. */
export const handle = <C extends JobContract>(
  contract: C,
  run: (context: JobContext<C>) => Promise<Outcome<ResultOf<C>>>,
): JobHandler<C> => ({ contract, run });
