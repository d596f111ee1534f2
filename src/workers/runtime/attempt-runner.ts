import { AppError, validationError } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import { timeOfUuidV7 } from '../../lib/ids/uuid-v7.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { isTracing } from '../../lib/telemetry/tracing.ts';
import type { Platform } from '../../platform.ts';
import type { AnyHandler, BatchHandler } from '../../queues/handle.ts';
import type { JobContract } from '../../queues/define-job.ts';
import { admitJob } from '../../queues/ledger/admit-job.ts';
import type { LedgerWriter } from '../../queues/ledger/ledger-writer.ts';
import type { Outcome } from '../../queues/outcome.ts';
import type { Attempt, Delivery, Disposition, Envelope } from '../../queues/transport.ts';
import { hideSecrets, secretsIn } from '../../queues/payloads/hide-values.ts';
import { ActiveAttempts } from './active-attempts.ts';
import { settleAttempt } from './attempt-end.ts';
import { BatchCall, type Seat } from './batch-call.ts';
import { HandlerCall } from './handler-call.ts';
import { outcomeOfError } from './outcome-of.ts';
import { RunningAttempt } from './running-attempt.ts';
import { traceAttempt, type AttemptSpan } from './trace-attempt.ts';

export interface AttemptRunnerParts {
  readonly platform: Platform;
  readonly handlers: ReadonlyMap<string, AnyHandler>;
  readonly ledger: LedgerWriter;
  /** Names this process in the ledger. */
  readonly worker: string;
  readonly log: Log;
}

/** One call of a handler, and what belongs to it. */
interface Run {
  readonly attempt: Attempt;
  readonly handler: AnyHandler;
  readonly startedAt: Date;
  /** The payload, opened where it has to be; else as it was delivered. */
  readonly payload?: Envelope['payload'];
  readonly span?: AttemptSpan;
}

/** Whether somebody has to be asked for the payload before the handler can have it. */
const needsOpening = ({ envelope }: Delivery, { encrypt }: JobContract): boolean =>
  envelope.payload === null || encrypt.length > 0;

/** A job whose workers died or fell silent this often without a result is poison. */
const maxStalls = 5;
const unknownJobDelayMs = 15_000;

/** Runs attempts: admits, calls the handler, and writes what came of it to the ledger before the queue is told. */
export class AttemptRunner {
  readonly active = new ActiveAttempts();
  readonly #parts: AttemptRunnerParts;
  /** By what attempts that are to run together share; a single attempt is a batch of one. */
  readonly #batches = new WeakMap<object, BatchCall>();
  readonly #joined = new WeakSet<Attempt>();
  #closing = false;

  constructor(parts: AttemptRunnerParts) {
    this.#parts = parts;
  }

  /** From now on items are handed back unrun. */
  refuse(): void {
    this.#closing = true;
  }

  /** Never throws: what can't be written leaves the item to be run again. */
  readonly run = async (attempt: Attempt): Promise<Disposition> => {
    if (this.#closing) return 'hand-back';
    const { delivery } = attempt;
    try {
      const older = this.active.find(delivery.jobId);
      if (older) {
        older.abort('lock-lost', 'another attempt of this job was started');
        await older.over;
      }
      return await this.#attempt(attempt);
    } catch (error) {
      this.#parts.log.error({ event: 'attempt.not-written', jobId: delivery.jobId, job: delivery.name, err: error });
      return this.#closing ? 'hand-back' : 'abandon';
    } finally {
      if (attempt.together && !this.#joined.has(attempt)) this.#batchOf(attempt)?.leave();
    }
  };

  #attempt(attempt: Attempt): Promise<Disposition> {
    const { startedBefore, envelope } = attempt.delivery;
    const startedAt = new Date();
    return startedBefore && envelope.tracked ? this.#readmit(attempt, startedAt) : this.#begin(attempt, startedAt);
  }

  async #readmit(attempt: Attempt, startedAt: Date): Promise<Disposition> {
    const admission = await admitJob(this.#parts.platform.postgres, attempt.delivery);
    if (admission === 'gone') return 'remove';
    if (admission === 'cancelled') return this.#settle(attempt, startedAt, { kind: 'cancelled' });
    // The shutdown may have begun while the ledger was asked: too late for its signal to reach this attempt.
    if (this.#closing) return 'hand-back';
    return this.#begin(attempt, startedAt);
  }

  #begin(attempt: Attempt, startedAt: Date): Promise<Disposition> {
    const { delivery } = attempt;
    const handler = this.#parts.handlers.get(delivery.name);
    if (!handler) {
      this.#parts.log.warn({ event: 'attempt.unknown-job', job: delivery.name, jobId: delivery.jobId });
      return this.#settle(attempt, startedAt, { kind: 'deferred', until: new Date(Date.now() + unknownJobDelayMs) });
    }
    if (delivery.stalls >= maxStalls) {
      const error = new AppError(
        'SERVICE_UNAVAILABLE',
        `${delivery.stalls} workers died or fell silent while they ran this job`,
        {},
        { retryable: false },
      );
      return this.#settle(attempt, startedAt, { kind: 'permanent', error });
    }
    if (delivery.envelope.childrenFailed !== undefined) return this.#failForChildren(attempt, startedAt);
    const { jobId, name, queue, envelope } = delivery;
    const dueMs = envelope.dueMs ?? timeOfUuidV7(jobId);
    this.#parts.platform.jobMetrics.started(queue, name, startedAt.getTime() - dueMs);
    const run: Run = { attempt, handler, startedAt };
    if (!isTracing()) return this.#open(run);
    return traceAttempt(delivery, this.#parts.worker, (span) => this.#open({ ...run, span }));
  }

  #open(run: Run): Promise<Disposition> {
    const { attempt, handler } = run;
    const opens = 'runBatch' in handler && needsOpening(attempt.delivery, handler.contract);
    return opens ? this.#callOpened(run) : this.#call(run);
  }

  /** A job whose payload cannot be opened does not come into a call with others. */
  async #callOpened(run: Run): Promise<Disposition> {
    const { attempt, handler, startedAt } = run;
    const { jobId, envelope } = attempt.delivery;
    let payload: Envelope['payload'];
    try {
      payload = await this.#parts.platform.payloads.open(handler.contract, jobId, envelope.payload);
    } catch (error) {
      return this.#settle(attempt, startedAt, outcomeOfError(error, undefined, envelope.timeoutMs));
    }
    return this.#closing ? 'hand-back' : this.#call({ ...run, payload });
  }

  async #failForChildren(attempt: Attempt, startedAt: Date): Promise<Disposition> {
    const { jobId, envelope } = attempt.delivery;
    const { childrenFailed = 0 } = envelope;
    const error = new AppError('CHILD_FAILED', `${childrenFailed} of the job's children failed`, { childrenFailed });
    const disposition = await this.#settle(attempt, startedAt, { kind: 'permanent', error });
    // What is left when this fails is cancelled by the reconciler.
    if (disposition === 'remove') await this.#parts.platform.jobs.cancelChildren(jobId);
    return disposition;
  }

  async #call(run: Run): Promise<Disposition> {
    const { attempt, handler, payload = attempt.delivery.envelope.payload } = run;
    const { delivery, lock } = attempt;
    const { jobMetrics } = this.#parts.platform;
    const running = new RunningAttempt(this.#parts, { ...run, payload });
    const call =
      'runBatch' in handler
        ? this.#join(attempt, handler, running, payload)
        : new HandlerCall(running, handler, payload);
    running.begin(call);
    this.active.add(running);
    try {
      const calledAt = performance.now();
      const came = await call.outcome();
      running.end();
      const outcome = 'runBatch' in handler ? hideSecrets(came, handler.contract, payload) : came;
      attempt.handlerEnded();
      jobMetrics.ran(delivery.queue, delivery.name, outcome.kind, performance.now() - calledAt);
      // Another outcome means that the transaction may have been rolled back: the ledger is asked.
      return await this.#conclude(run, outcome, outcome === running.completed);
    } finally {
      lock.onLost = undefined;
      this.active.remove(running);
      running.isOver();
    }
  }

  #conclude(
    { attempt, startedAt, span }: Run,
    outcome: Outcome,
    isWritten: boolean,
  ): Disposition | Promise<Disposition> {
    span?.ended(outcome);
    if (isWritten) return this.#completedAlready(attempt.delivery);
    const settle = (): Promise<Disposition> => this.#settle(attempt, startedAt, outcome, span?.traceparent);
    return span ? span.settle(settle) : settle();
  }

  /** A job whose payload does not fit fails alone. */
  #join(attempt: Attempt, { contract }: BatchHandler, run: RunningAttempt, payload: Envelope['payload']): Seat {
    const batch = this.#batchOf(attempt);
    const parsed = safeParse(contract.payload, payload);
    if (batch && parsed.success) {
      this.#joined.add(attempt);
      const { job, timeoutMs, progress, completeIn } = run;
      const secrets = secretsIn(payload, contract);
      return batch.join({ payload: parsed.data, job, timeoutMs, progress, completeIn, secrets });
    }
    const error = validationError(`the payload of ${contract.name}`, parsed.error ? faultsOf(parsed.error) : []);
    const outcome = (): Promise<Outcome> => Promise.resolve({ kind: 'permanent', error });
    return { outcome, abort: () => undefined, abandon: () => undefined };
  }

  #batchOf(attempt: Attempt): BatchCall | undefined {
    const handler = this.#parts.handlers.get(attempt.delivery.name);
    if (!handler || !('runBatch' in handler)) return undefined;
    const key = attempt.together ?? attempt;
    const { platform, log } = this.#parts;
    const batch =
      this.#batches.get(key) ?? new BatchCall({ platform, log, handler, size: attempt.together?.count ?? 1 });
    this.#batches.set(key, batch);
    return batch;
  }

  #completedAlready({ queue, name }: Delivery): Disposition {
    this.#parts.platform.jobMetrics.finished(queue, name, 'completed');
    return 'remove';
  }

  #settle(attempt: Attempt, startedAt: Date, outcome: Outcome, traceparent?: string): Promise<Disposition> {
    const contract = this.#parts.handlers.get(attempt.delivery.name)?.contract;
    return settleAttempt(this.#parts, { attempt, startedAt, outcome, traceparent, contract });
  }
}
