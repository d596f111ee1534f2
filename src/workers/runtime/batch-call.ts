import { validationError } from '../../lib/errors/app-error.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Platform } from '../../platform.ts';
import type { BatchHandler, BatchJob } from '../../queues/handle.ts';
import { isOutcome, type Outcome } from '../../queues/outcome.ts';
import { bindLog } from './bind-log.ts';
import { AttemptAborted, ignoredSignalMs, outcomeAfterAbort, outcomeOfError, type AbortCause } from './outcome-of.ts';

/** What the call needs of one of its jobs. */
export interface BatchMember extends Omit<BatchJob, 'signal'> {
  readonly timeoutMs: number;
  /** What of its payload no log is to quote. */
  readonly secrets: readonly unknown[];
}

export interface BatchParts {
  readonly platform: Platform;
  readonly handler: BatchHandler;
  readonly log: Log;
  /** How many attempts are to join or leave before the handler is called. */
  readonly size: number;
}

/** One job in a call; a {@link HandlerCall} is one, too. */
export interface Seat {
  /** Never rejects. */
  outcome(): Promise<Outcome>;
  /** A cancelled job is aborted alone, for any other cause the whole call is. */
  abort(cause: AbortCause, message: string): void;
  /** Stops waiting for a handler that ignores its signal. */
  abandon(): void;
}

interface Taken {
  readonly member: BatchMember;
  readonly controller: AbortController;
  readonly resolve: (outcome: Outcome) => void;
}

/** One call of a handler with several jobs, once all of them are there: under a deadline, abortable as a whole and for each job. */
export class BatchCall {
  readonly #parts: BatchParts;
  readonly #whole = new AbortController();
  readonly #seats: Taken[] = [];
  #missing: number;
  #patience: NodeJS.Timeout | undefined;
  /** Rejects when nobody waits for the handler any more, which may be before it is called. */
  readonly #abandoned = Promise.withResolvers<never>();

  constructor(parts: BatchParts) {
    this.#parts = parts;
    this.#missing = parts.size;
    this.#abandoned.promise.catch(() => undefined);
  }

  join(member: BatchMember): Seat {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const controller = new AbortController();
    if (this.#whole.signal.aborted) controller.abort(this.#whole.signal.reason);
    this.#seats.push({ member, controller, resolve });
    this.#arrive();
    return {
      outcome: () => promise,
      abort: (cause, message) =>
        cause === 'cancelled' ? this.#cancel(controller, message) : this.#abort(cause, message),
      abandon: () => this.#abandon(),
    };
  }

  /** Of an attempt that does not come to run. */
  leave(): void {
    this.#arrive();
  }

  #arrive(): void {
    this.#missing -= 1;
    if (this.#missing > 0 || this.#seats.length === 0) return;
    this.#abortIfEachIs();
    void this.#run();
  }

  #cancel(controller: AbortController, message: string): void {
    controller.abort(new AttemptAborted('cancelled', message));
    // Those that are still to join are not cancelled.
    if (this.#missing === 0) this.#abortIfEachIs();
  }

  #abortIfEachIs(): void {
    if (this.#seats.every((seat) => seat.controller.signal.aborted))
      this.#abort('cancelled', 'all jobs of the call were cancelled');
  }

  #abort(cause: AbortCause, message: string): void {
    if (this.#whole.signal.aborted) return;
    const reason = new AttemptAborted(cause, message);
    this.#whole.abort(reason);
    for (const { controller } of this.#seats) controller.abort(reason);
    // At shutdown the grace period decides how long to wait, not this.
    if (cause !== 'shutdown') this.#patience = setTimeout(() => this.#abandon(), ignoredSignalMs);
  }

  #abandon(): void {
    this.#abandoned.reject(this.#whole.signal.reason ?? new AttemptAborted('shutdown', 'the process is ending'));
  }

  async #run(): Promise<void> {
    const timeoutMs = Math.min(...this.#seats.map(({ member }) => member.timeoutMs));
    const tooLong = `the attempt ran longer than ${timeoutMs} ms`;
    const deadline = setTimeout(() => this.#abort('deadline', tooLong), timeoutMs);
    try {
      const outcomes = await Promise.race([this.#abandoned.promise, this.#call()]);
      for (const [index, seat] of this.#seats.entries()) {
        const outcome = outcomes[index] ?? { kind: 'interrupted' };
        seat.resolve(outcomeAfterAbort(outcome, causeOf(seat), timeoutMs));
      }
    } catch (error) {
      for (const seat of this.#seats) seat.resolve(outcomeOfError(error, causeOf(seat), timeoutMs));
    } finally {
      clearTimeout(deadline);
      clearTimeout(this.#patience);
    }
  }

  async #call(): Promise<readonly Outcome[]> {
    const { handler, platform, log } = this.#parts;
    const { name } = handler.contract;
    const outcomes: readonly unknown[] = await handler.runBatch({
      jobs: this.#seats.map(({ member, controller }) => {
        const { payload, job, progress, completeIn } = member;
        return { payload, job, progress, completeIn, signal: controller.signal };
      }),
      platform,
      signal: this.#whole.signal,
      log: bindLog(
        log,
        { job: name, jobs: this.#seats.length },
        this.#seats.flatMap(({ member }) => member.secrets),
      ),
    });
    if (Array.isArray(outcomes) && outcomes.length === this.#seats.length && outcomes.every(isOutcome)) return outcomes;
    throw validationError(`what the handler of ${name} answers`, [
      { path: '', message: `must be an outcome for each of the ${this.#seats.length} jobs, in their order` },
    ]);
  }
}

const causeOf = ({ controller }: Taken): AbortCause | undefined => {
  const reason: unknown = controller.signal.reason;
  return reason instanceof AttemptAborted ? reason.abortCause : undefined;
};
