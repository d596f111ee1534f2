import { AppError } from '../../lib/errors/app-error.ts';
import { codeOf, isConnectionError } from '../../lib/errors/classify.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Platform } from '../../platform.ts';
import type { AttemptInfo, JobHandler } from '../../queues/handle.ts';
import { admitJob, adoptJob } from '../../queues/ledger/admit-job.ts';
import { finishJobs, type LedgerWriter } from '../../queues/ledger/ledger-writer.ts';
import { OutcomeError, type Outcome } from '../../queues/outcome.ts';
import type { Attempt, Delivery, Disposition } from '../../queues/transport.ts';
import { serializeOrThrow } from '../../queues/enqueue/serialize-payload.ts';
import { ActiveAttempts, type ActiveAttempt } from './active-attempts.ts';
import { HandlerCall } from './handler-call.ts';
import { settleOutcome, type SettledAttempt } from './settle-outcome.ts';

export interface AttemptRunnerParts {
  readonly platform: Platform;
  readonly handlers: ReadonlyMap<string, JobHandler>;
  readonly ledger: LedgerWriter;
  /** Names this process in the ledger. */
  readonly worker: string;
  readonly log: Log;
}

/** A job whose workers died or fell silent this often without a result is poison. */
const maxStalls = 5;
const unknownJobDelayMs = 15_000;

/** Runs attempts: admits, calls the handler, and writes what came of it to the ledger before the queue is told. */
export class AttemptRunner {
  readonly active = new ActiveAttempts();
  readonly #parts: AttemptRunnerParts;
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
    const over = Promise.withResolvers<void>();
    try {
      const older = this.active.find(delivery.jobId);
      if (older) {
        older.abort('lock-lost', 'another attempt of this job was started');
        await older.over;
      }
      return await this.#attempt(attempt, over.promise);
    } catch (error) {
      this.#parts.log.error({ event: 'attempt.not-written', jobId: delivery.jobId, job: delivery.name, err: error });
      return this.#closing ? 'hand-back' : 'abandon';
    } finally {
      over.resolve();
    }
  };

  #attempt(attempt: Attempt, over: Promise<void>): Promise<Disposition> {
    const { startedBefore, envelope } = attempt.delivery;
    const startedAt = new Date();
    return startedBefore && envelope.tracked
      ? this.#readmit(attempt, startedAt, over)
      : this.#begin(attempt, startedAt, over);
  }

  async #readmit(attempt: Attempt, startedAt: Date, over: Promise<void>): Promise<Disposition> {
    const admission = await admitJob(this.#parts.platform.postgres, attempt.delivery);
    if (admission === 'gone') return 'remove';
    if (admission === 'cancelled') return this.#settle(attempt, startedAt, { kind: 'cancelled' });
    // The shutdown may have begun while the ledger was asked: too late for its signal to reach this attempt.
    if (this.#closing) return 'hand-back';
    return this.#begin(attempt, startedAt, over);
  }

  #begin(attempt: Attempt, startedAt: Date, over: Promise<void>): Promise<Disposition> {
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
    return this.#call(attempt, handler, startedAt, over);
  }

  async #call(attempt: Attempt, handler: JobHandler, startedAt: Date, over: Promise<void>): Promise<Disposition> {
    const { delivery, lock } = attempt;
    const { ledger, worker } = this.#parts;
    const { tracked, returns, timeoutMs, attemptsMade } = delivery.envelope;
    const mark = (progress?: { readonly fraction: number; readonly note?: string }): void => {
      if (tracked) ledger.mark({ id: delivery.jobId, returns, startedAt, worker, ...(progress ? { progress } : {}) });
    };
    let completedInTransaction: Outcome | undefined;
    const call = new HandlerCall({
      platform: this.#parts.platform,
      handler,
      payload: delivery.envelope.payload,
      job: attemptInfo(delivery),
      timeoutMs,
      log: this.#parts.log,
      progress: (fraction, note) =>
        mark({ fraction: Math.min(1, Math.max(0, fraction)), ...(note === undefined ? {} : { note }) }),
      completeIn: async (tx, result) => {
        const resultJson = serializeOrThrow(result ?? null, `the result of ${delivery.name}`);
        if (!tracked) await adoptJob(tx, delivery, handler.contract.priority);
        const [closed] = await finishJobs(tx, [
          {
            id: delivery.jobId,
            state: 'completed',
            returns,
            attemptsMade: attemptsMade + 1,
            startedAt,
            worker,
            resultJson,
          },
        ]);
        if (!closed) throw new OutcomeError({ kind: 'interrupted' });
        completedInTransaction = { kind: 'completed', result };
        return completedInTransaction;
      },
    });
    lock.onLost = () => call.abort('lock-lost', 'the lock on this job is lost: another worker may run it');
    const active: ActiveAttempt = {
      jobId: delivery.jobId,
      queue: delivery.queue,
      over,
      abort: (cause, message) => call.abort(cause, message),
      abandon: () => call.abandon(),
    };
    this.active.add(active);
    mark();
    try {
      const outcome = await call.outcome();
      attempt.handlerEnded();
      // Another outcome means that the transaction may have been rolled back: the ledger is asked.
      if (outcome === completedInTransaction) return 'remove';
      return await this.#settle(attempt, startedAt, outcome);
    } finally {
      lock.onLost = undefined;
      this.active.remove(active);
    }
  }

  async #settle(attempt: Attempt, startedAt: Date, outcome: Outcome): Promise<Disposition> {
    const settled: SettledAttempt = {
      attempt,
      startedAt,
      outcome,
      contract: this.#parts.handlers.get(attempt.delivery.name)?.contract,
    };
    try {
      return await settleOutcome(this.#parts, settled);
    } catch (error) {
      // Run again, it would come to the same: the job alone ends as a dead letter.
      if (outcome.kind === 'permanent' || !isFaultOfData(error)) throw error;
      return settleOutcome(this.#parts, { ...settled, outcome: { kind: 'permanent', error } });
    }
  }
}

/** True when the ledger cannot keep what came of an attempt, however often it is asked. */
const isFaultOfData = (error: unknown): boolean => {
  if (error instanceof AppError) return error.code === 'VALIDATION_ERROR';
  const code = codeOf(error);
  return code === undefined ? !isConnectionError(error) : /^(?:22|23|54)/.test(code);
};

const attemptInfo = ({ jobId, name, queue, envelope }: Delivery): AttemptInfo => ({
  id: jobId,
  name,
  queue,
  tenant: envelope.tenant,
  attempt: envelope.attemptsMade + 1,
  attemptsAllowed: envelope.attemptsAllowed,
});
