import { z } from 'zod';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { TransactionOptions } from '../../lib/postgres/transaction.ts';
import { storableText } from '../../lib/text/storable.ts';

/** Who changes something, and why; kept in the history. */
export interface Change {
  readonly actor?: string | undefined;
  readonly changeSummary?: string | undefined;
}

/** A change that may be part of the caller's own open transaction. */
export interface ChangeContext extends Change {
  readonly tx?: Queryable | undefined;
}

const rules = z.object({ actor: storableText(200).optional(), changeSummary: storableText(1_000).optional() });

/**
 * Says to the triggers who makes the changes of the rest of this transaction. Without actor and summary nothing is said,
 * and what the transaction's owner said before stands.
 * @throws AppError VALIDATION_ERROR.
 */
export const announceChange = async (tx: Queryable, change: Change): Promise<void> => {
  const { actor, changeSummary } = parseOrThrow(rules, change, 'the change');
  if (actor === undefined && changeSummary === undefined) return;
  await tx.query(`SELECT set_config('treadle.actor', $1, true), set_config('treadle.change_summary', $2, true)`, [
    actor ?? '',
    changeSummary ?? '',
  ]);
};

/**
 * Runs `work` with the change announced: in the caller's open transaction, else in one of its own.
 * @throws what `work` throws; AppError VALIDATION_ERROR for an actor or a summary that cannot be kept.
 */
export const runChange = <T>(
  postgres: Postgres,
  { tx, ...change }: ChangeContext,
  options: TransactionOptions,
  work: (tx: Queryable) => Promise<T>,
): Promise<T> => {
  const announced = async (open: Queryable): Promise<T> => {
    await announceChange(open, change);
    return work(open);
  };
  return tx ? announced(tx) : postgres.transaction(announced, options);
};
