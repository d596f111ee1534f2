import { AppError } from '../../lib/errors/app-error.ts';
import { codeOf, isConnectionError } from '../../lib/errors/classify.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import type { JobContract } from '../../queues/define-job.ts';
import { serializeOrThrow } from '../../queues/enqueue/serialize-payload.ts';
import { adoptJob } from '../../queues/ledger/admit-job.ts';
import { finishJobs } from '../../queues/ledger/ledger-writer.ts';
import { OutcomeError, type Outcome } from '../../queues/outcome.ts';
import type { Delivery, Disposition } from '../../queues/transport.ts';
import { settleOutcome, type SettledAttempt, type SettlingParts } from './settle-outcome.ts';

export interface CompletedAttempt {
  readonly delivery: Delivery;
  readonly contract: JobContract;
  readonly startedAt: Date;
  /** Names this process in the ledger. */
  readonly worker: string;
}

/**
 * Completes the job in the caller's transaction.
 * @throws OutcomeError when it is no longer this attempt's to complete.
 */
export const completeInTransaction = async (
  tx: Transaction,
  { delivery, contract, startedAt, worker }: CompletedAttempt,
  result: unknown,
): Promise<Outcome> => {
  const { tracked, returns, attemptsMade, limited } = delivery.envelope;
  const resultJson = serializeOrThrow(result ?? null, `the result of ${delivery.name}`);
  if (!tracked) await adoptJob(tx, delivery, contract.priority);
  const ending = { id: delivery.jobId, returns, startedAt, worker, resultJson, limited };
  const [closed] = await finishJobs(tx, [{ ...ending, state: 'completed', attemptsMade: attemptsMade + 1 }]);
  if (!closed) throw new OutcomeError({ kind: 'interrupted' });
  return { kind: 'completed', result };
};

/** Writes what came of an attempt. What the ledger cannot keep, however often it is asked, makes the job alone a dead letter. */
export const settleAttempt = async (parts: SettlingParts, settled: SettledAttempt): Promise<Disposition> => {
  try {
    return await settleOutcome(parts, settled);
  } catch (error) {
    if (settled.outcome.kind === 'permanent' || !isFaultOfData(error)) throw error;
    return settleOutcome(parts, { ...settled, outcome: { kind: 'permanent', error } });
  }
};

const isFaultOfData = (error: unknown): boolean => {
  if (error instanceof AppError) return error.code === 'VALIDATION_ERROR';
  const code = codeOf(error);
  return code === undefined ? !isConnectionError(error) : /^(?:22|23|54)/.test(code);
};
