import type { Transaction } from '../../lib/postgres/transaction.ts';
import type { Platform } from '../../platform.ts';
import { LedgerJobChildren } from '../../queues/flows/job-children.ts';
import type { AnyHandler, AttemptInfo, JobChildren } from '../../queues/handle.ts';
import { OutcomeError, type Outcome } from '../../queues/outcome.ts';
import type { Attempt, Delivery, Envelope } from '../../queues/transport.ts';
import type { ActiveAttempt } from './active-attempts.ts';
import { completeInTransaction } from './attempt-end.ts';
import type { Seat } from './batch-call.ts';
import type { HandlerRun } from './handler-call.ts';
import type { AbortCause } from './outcome-of.ts';
import type { SettlingParts } from './settle-outcome.ts';

export interface StartedAttempt {
  readonly attempt: Attempt;
  readonly handler: AnyHandler;
  readonly startedAt: Date;
  readonly payload: Envelope['payload'];
}

/**
 * An attempt while its handler runs: what the handler may do to its job, and what may happen to the handler. What a
 * handler that was given up still does has no effect on its job.
 */
export class RunningAttempt implements ActiveAttempt, HandlerRun {
  readonly job: AttemptInfo;
  /** What the handler completed the job with, in a transaction of its own. */
  completed: Outcome | undefined;
  readonly #parts: SettlingParts;
  readonly #started: StartedAttempt;
  #call: Seat | undefined;
  #ended = false;
  /** Made when somebody waits for it: hardly ever. */
  #over: PromiseWithResolvers<void> | undefined;
  #isOver = false;

  constructor(parts: SettlingParts, started: StartedAttempt) {
    this.#parts = parts;
    this.#started = started;
    this.job = attemptInfo(this.#delivery);
  }

  get jobId(): string {
    return this.#delivery.jobId;
  }

  get queue(): string {
    return this.#delivery.queue;
  }

  get platform(): Platform {
    return this.#parts.platform;
  }

  get log(): SettlingParts['log'] {
    return this.#parts.log;
  }

  get timeoutMs(): number {
    return this.#delivery.envelope.timeoutMs;
  }

  get over(): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    this.#over ??= Promise.withResolvers<void>();
    return this.#over.promise;
  }

  get #delivery(): Delivery {
    return this.#started.attempt.delivery;
  }

  /** The call about to be made is the one to abort; the ledger notes that the attempt has begun. */
  begin(call: Seat): void {
    this.#call = call;
    const { lock } = this.#started.attempt;
    lock.onLost = () => call.abort('lock-lost', 'the lock on this job is lost: another worker may run it');
    this.#mark();
  }

  /** From now on the handler has no say in its job. */
  end(): void {
    this.#ended = true;
  }

  /** The ledger knows what came of it. */
  isOver(): void {
    this.#isOver = true;
    this.#over?.resolve();
  }

  abort(cause: AbortCause, message: string): void {
    this.#call?.abort(cause, message);
  }

  abandon(): void {
    this.#call?.abandon();
  }

  readonly progress = (fraction: number, note?: string): void => {
    this.#mark({ fraction: Math.min(1, Math.max(0, fraction)), ...(note === undefined ? {} : { note }) });
  };

  readonly completeIn = async (tx: Transaction, result: unknown): Promise<Outcome> => {
    if (this.#ended) throw new OutcomeError({ kind: 'interrupted' });
    const { handler, startedAt } = this.#started;
    const { worker } = this.#parts;
    const completed = { delivery: this.#delivery, contract: handler.contract, startedAt, worker };
    this.completed = await completeInTransaction(tx, completed, result);
    return this.completed;
  };

  children(): JobChildren {
    const { attempt } = this.#started;
    const { postgres, registry } = this.#parts.platform;
    const { returns, tenant, tracked, awaits = 0 } = this.#delivery.envelope;
    return new LedgerJobChildren({
      postgres,
      keys: registry.keys,
      jobId: this.jobId,
      returns,
      tenant,
      tracked,
      awaited: awaits,
      holdsLock: () => !attempt.lock.lost && attempt.holdsLock(),
    });
  }

  #mark(progress?: { readonly fraction: number; readonly note?: string }): void {
    const { tracked, returns } = this.#delivery.envelope;
    if (!tracked || this.#ended) return;
    const { ledger, worker } = this.#parts;
    const { startedAt } = this.#started;
    const onRefused = (why: 'cancelled' | 'gone'): void => this.#refused(why);
    ledger.mark({ id: this.jobId, returns, startedAt, worker, onRefused, ...(progress ? { progress } : {}) });
  }

  #refused(why: 'cancelled' | 'gone'): void {
    if (this.#ended) return;
    if (why === 'cancelled') this.abort('cancelled', 'the job was cancelled');
    else if (!this.completed) this.abort('lock-lost', 'the job has ended or went back without this attempt');
  }
}

const attemptInfo = ({ jobId, name, queue, envelope }: Delivery): AttemptInfo => ({
  id: jobId,
  name,
  queue,
  tenant: envelope.tenant,
  attempt: envelope.attemptsMade + 1,
  attemptsAllowed: envelope.attemptsAllowed,
});
