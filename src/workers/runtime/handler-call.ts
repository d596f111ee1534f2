import { validationError } from '../../lib/errors/app-error.ts';
import { faultsOf } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import type { Platform } from '../../platform.ts';
import type { AttemptInfo, JobHandler } from '../../queues/handle.ts';
import { isOutcome, type Outcome } from '../../queues/outcome.ts';
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
  readonly #run: HandlerRun;
  #controller: AbortController | undefined;
  #reason: AttemptAborted | undefined;
  #patience: NodeJS.Timeout | undefined;
  #giveUp: (reason: AttemptAborted) => void = () => undefined;

  constructor(run: HandlerRun) {
    this.#run = run;
  }

  abort(cause: AbortCause, message: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = new AttemptAborted(cause, message);
    this.#controller?.abort(this.#reason);
    // At shutdown the grace period decides how long to wait, not this.
    if (cause !== 'shutdown') this.#patience = setTimeout(() => this.abandon(), ignoredSignalMs);
  }

  abandon(): void {
    this.#giveUp(this.#reason ?? new AttemptAborted('shutdown', 'the process is ending'));
  }

  /** The outcome of the call. Never throws. */
  async outcome(): Promise<Outcome> {
    const { timeoutMs } = this.#run;
    const deadline = setTimeout(() => this.abort('deadline', `the attempt ran longer than ${timeoutMs} ms`), timeoutMs);
    try {
      const payload = this.#parsePayload();
      return await new Promise<Outcome>((resolve, reject) => {
        this.#giveUp = reject;
        this.#call(payload).then(resolve, reject);
      });
    } catch (error) {
      return outcomeOfError(error, this.#reason?.abortCause, timeoutMs);
    } finally {
      clearTimeout(deadline);
      clearTimeout(this.#patience);
    }
  }

  /** Made when the handler first asks for it: most are done before they would look. */
  #signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#reason) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  #parsePayload(): unknown {
    const { contract } = this.#run.handler;
    const parsed = contract.payload.safeParse(this.#run.payload);
    if (!parsed.success) throw validationError(`the payload of ${contract.name}`, faultsOf(parsed.error));
    return parsed.data;
  }

  async #call(payload: unknown): Promise<Outcome> {
    const { handler, platform, job, log, progress, completeIn } = this.#run;
    const signal = (): AbortSignal => this.#signal();
    let bound: Log | undefined;
    const outcome: unknown = await handler.run({
      payload,
      platform,
      job,
      progress,
      completeIn,
      get signal() {
        return signal();
      },
      get log() {
        bound ??= log.child({ job: job.name, jobId: job.id, attempt: job.attempt });
        return bound;
      },
    });
    if (isOutcome(outcome)) return outcome;
    throw validationError(`what the handler of ${job.name} answers`, [
      { path: '', message: 'must be an outcome, such as completed(result) makes' },
    ]);
  }
}
