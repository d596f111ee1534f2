import { validationError } from '../../lib/errors/app-error.ts';
import { faultsOf } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import type { Platform } from '../../platform.ts';
import type { AttemptInfo, JobHandler } from '../../queues/handle.ts';
import type { Outcome } from '../../queues/outcome.ts';
import { AttemptAborted, outcomeOfError, type AbortCause } from './outcome-of.ts';

export interface HandlerRun {
  readonly platform: Platform;
  readonly handler: JobHandler;
  readonly payload: unknown;
  readonly job: AttemptInfo;
  readonly timeoutMs: number;
  readonly log: Log;
  readonly progress: (fraction: number, note?: string) => void;
  readonly completeIn: (tx: Transaction, result: unknown) => Promise<Outcome>;
}

/** How long a handler may go on after its signal before nobody waits for it any more. */
const ignoredSignalMs = 2_000;

/** One call of a handler: validated, under a deadline, abortable, and abandoned if it ignores its signal. */
export class HandlerCall {
  readonly #controller = new AbortController();
  #cause: AbortCause | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #patience: NodeJS.Timeout | undefined;
  readonly #abandoned = Promise.withResolvers<never>();
  readonly #run: HandlerRun;

  constructor(run: HandlerRun) {
    this.#run = run;
    // Nobody may be waiting when the call is abandoned.
    this.#abandoned.promise.catch(() => undefined);
  }

  get abortCause(): AbortCause | undefined {
    return this.#cause;
  }

  abort(cause: AbortCause, message: string): void {
    if (this.#cause !== undefined) return;
    this.#cause = cause;
    const reason = new AttemptAborted(cause, message);
    this.#controller.abort(reason);
    // At shutdown the grace period decides how long to wait, not this.
    if (cause !== 'shutdown') this.#patience = setTimeout(() => this.abandon(), ignoredSignalMs);
  }

  abandon(): void {
    this.#abandoned.reject(this.#controller.signal.reason ?? new AttemptAborted('shutdown', 'the process is ending'));
  }

  /** The outcome of the call. Never throws. */
  async outcome(): Promise<Outcome> {
    const { handler, payload, timeoutMs } = this.#run;
    const parsed = handler.contract.payload.safeParse(payload);
    if (!parsed.success) {
      return {
        kind: 'permanent',
        error: validationError(`the payload of ${handler.contract.name}`, faultsOf(parsed.error)),
      };
    }
    this.#deadline = setTimeout(() => this.abort('deadline', `the attempt ran longer than ${timeoutMs} ms`), timeoutMs);
    try {
      return await Promise.race([this.#call(parsed.data), this.#abandoned.promise]);
    } catch (error) {
      return outcomeOfError(error, this.#cause, timeoutMs);
    } finally {
      clearTimeout(this.#deadline);
      clearTimeout(this.#patience);
    }
  }

  async #call(payload: unknown): Promise<Outcome> {
    const { handler, platform, job, log, progress, completeIn } = this.#run;
    return handler.run({
      payload,
      platform,
      job,
      log,
      progress,
      completeIn,
      signal: this.#controller.signal,
    });
  }
}
