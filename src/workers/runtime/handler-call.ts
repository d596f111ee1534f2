import { validationError } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import type { Platform } from '../../platform.ts';
import type { AttemptInfo, CallControl, JobChildren, JobHandler } from '../../queues/handle.ts';
import { isOutcome, type Outcome } from '../../queues/outcome.ts';
import type { Envelope } from '../../queues/transport.ts';
import { bindLog } from './bind-log.ts';
import { HandlerContext } from './handler-context.ts';
import { AttemptAborted, ignoredSignalMs, outcomeAfterAbort, outcomeOfError, type AbortCause } from './outcome-of.ts';
import { hideSecrets, secretsIn } from '../../queues/payloads/hide-values.ts';

/** What a handler is called with. */
export interface HandlerRun {
  readonly platform: Platform;
  readonly job: AttemptInfo;
  readonly timeoutMs: number;
  readonly log: Log;
  readonly progress: (fraction: number, note?: string) => void;
  children(): JobChildren;
  readonly completeIn: (tx: Transaction, result: unknown) => Promise<Outcome>;
}

/** One call of a handler: validated, under a deadline, abortable, and abandoned if it ignores its signal. */
export class HandlerCall implements CallControl {
  onAbandoned: (() => void) | undefined;
  readonly #run: HandlerRun;
  readonly #handler: JobHandler;
  /** As it came through the queue; null when it is too large for that. */
  readonly #payload: Envelope['payload'];
  #controller: AbortController | undefined;
  #reason: AttemptAborted | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #given: unknown;
  #patience: NodeJS.Timeout | undefined;
  #giveUp: (reason: AttemptAborted) => void = () => undefined;
  #over = false;

  constructor(run: HandlerRun, handler: JobHandler, payload: Envelope['payload']) {
    this.#run = run;
    this.#handler = handler;
    this.#payload = payload;
  }

  abort(cause: AbortCause, message: string): void {
    if (this.#over || this.#reason !== undefined) return;
    this.#reason = new AttemptAborted(cause, message);
    this.#controller?.abort(this.#reason);
    // At shutdown the grace period decides how long to wait, not this.
    if (cause !== 'shutdown') this.#patience = setTimeout(() => this.abandon(), ignoredSignalMs);
  }

  abandon(): void {
    this.#giveUp(this.#reason ?? new AttemptAborted('shutdown', 'the process is ending'));
    this.onAbandoned?.();
  }

  holdDeadline(): void {
    clearTimeout(this.#deadline);
  }

  startDeadline(): void {
    const { timeoutMs } = this.#run;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.abort('deadline', `the attempt ran longer than ${timeoutMs} ms`), timeoutMs);
  }

  /** The outcome of the call. Never throws. */
  async outcome(): Promise<Outcome> {
    const { timeoutMs } = this.#run;
    this.startDeadline();
    try {
      const outcome = await new Promise<Outcome>((resolve, reject) => {
        this.#giveUp = reject;
        this.#call().then(resolve, reject);
      });
      return this.#hidden(outcomeAfterAbort(outcome, this.#reason?.abortCause, timeoutMs));
    } catch (error) {
      return this.#hidden(outcomeOfError(error, this.#reason?.abortCause, timeoutMs));
    } finally {
      this.#over = true;
      clearTimeout(this.#deadline);
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

  #bindLog(): Log {
    const { job, log } = this.#run;
    const of = { job: job.name, jobId: job.id, attempt: job.attempt };
    return bindLog(log, of, secretsIn(this.#given, this.#handler.contract));
  }

  #hidden(outcome: Outcome): Outcome {
    return hideSecrets(outcome, this.#handler.contract, this.#given);
  }

  #parsePayload(given: unknown): unknown {
    const { contract } = this.#handler;
    const parsed = safeParse(contract.payload, given);
    if (!parsed.success) throw validationError(`the payload of ${contract.name}`, faultsOf(parsed.error));
    return parsed.data;
  }

  async #call(): Promise<Outcome> {
    const run = this.#run;
    const handler = this.#handler;
    const given = run.platform.payloads.open(handler.contract, run.job.id, this.#payload);
    // Most often it is there, and nobody has to wait a turn for it.
    this.#given = given instanceof Promise ? await given : given;
    const made = { signal: () => this.#signal(), log: () => this.#bindLog() };
    const context = new HandlerContext(run, this.#parsePayload(this.#given), made);
    const outcome: unknown = await handler.run(context, this);
    if (isOutcome(outcome)) return outcome;
    throw validationError(`what the handler of ${run.job.name} answers`, [
      { path: '', message: 'must be an outcome, such as completed(result) makes' },
    ]);
  }
}
