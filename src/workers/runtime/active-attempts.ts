import type { AbortCause } from './outcome-of.ts';

/** An attempt that is running in this process. */
export interface ActiveAttempt {
  readonly jobId: string;
  readonly queue: string;
  /** Aborts the handler's signal; the attempt ends with the outcome of that cause. */
  abort(cause: AbortCause, message: string): void;
  /** Stops waiting for a handler that ignores its signal. */
  abandon(): void;
  /** Resolves when the attempt is over and the ledger knows. */
  readonly over: Promise<void>;
}

/** The attempts running in this process, by job. */
export class ActiveAttempts {
  readonly #byJob = new Map<string, ActiveAttempt>();

  get size(): number {
    return this.#byJob.size;
  }

  /** Notes the attempt until it is removed; one attempt of a job at a time runs in a process, see {@link find}. */
  add(attempt: ActiveAttempt): void {
    this.#byJob.set(attempt.jobId, attempt);
  }

  remove(attempt: ActiveAttempt): void {
    if (this.#byJob.get(attempt.jobId) === attempt) this.#byJob.delete(attempt.jobId);
  }

  find(jobId: string): ActiveAttempt | undefined {
    return this.#byJob.get(jobId);
  }

  all(): readonly ActiveAttempt[] {
    return [...this.#byJob.values()];
  }
}
