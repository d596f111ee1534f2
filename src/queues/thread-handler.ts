import type { JobContract, ResultOf } from './define-job.ts';
import type { JobContext } from './handle.ts';
import type { Outcome } from './outcome.ts';

/**
 * What a handler in a thread gets: no platform and no `completeIn`, since connections cannot cross into a thread. Its signal
 * shows an abort also to a loop that never yields, when that asks `signal.aborted` or calls `signal.throwIfAborted()`.
 */
export type ThreadContext<C extends JobContract = JobContract> = Pick<
  JobContext<C>,
  'payload' | 'job' | 'signal' | 'log' | 'progress'
>;

/** What the module of a handler with `isolation: 'thread'` exports by default. */
export interface ThreadHandler<C extends JobContract = JobContract> {
  readonly contract: C;
  run(context: ThreadContext<C>): Promise<Outcome<ResultOf<C>>>;
}

/** Binds a contract to the function that does its work in a thread. */
export const threadHandler = <C extends JobContract>(
  contract: C,
  run: (context: ThreadContext<C>) => Promise<Outcome<ResultOf<C>>>,
): ThreadHandler<C> => ({ contract, run });
