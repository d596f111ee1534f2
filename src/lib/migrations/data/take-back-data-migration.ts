import { z } from 'zod';
import { parseOrThrow } from '../../errors/zod-faults.ts';
import type { Transaction } from '../../postgres/transaction.ts';
import { countChanges, forgetChanges, nextChanges } from './data-changes.ts';
import { beginDown, retreat, writeUndone, type DataMigrationRecord } from './data-migration-record.ts';
import type { DataMigration } from './define-data-migration.ts';
import { migrationConflict } from './migration-conflict.ts';
import { runSteps, type RunContext, type RunEnd, type StepEnd } from './run-steps.ts';

const answer = z.strictObject({ undone: z.number().int().min(0) });

/**
 * Undoes the next changes in the given transaction, and answers how many there were and how many of them were undone.
 * @throws AppError VALIDATION_ERROR for an answer that is none.
 */
export const runDownBatch = async (
  tx: Transaction,
  { name, down, batchSize }: DataMigration,
): Promise<{ readonly changes: number; readonly undone: number }> => {
  const changes = await nextChanges(tx, name, batchSize);
  if (changes.length === 0) return { changes: 0, undone: 0 };
  const given: unknown = await down({ tx, changes });
  const { undone } = parseOrThrow(answer, given, `the answer of down() of the data migration ${name}`);
  await forgetChanges(tx, name, changes);
  return { changes: changes.length, undone };
};

const stepDown = async (
  tx: Transaction,
  migration: DataMigration,
  { state }: DataMigrationRecord,
  begun: boolean,
): Promise<StepEnd> => {
  const { name } = migration;
  switch (state) {
    case 'pending':
    case 'undone':
      return { last: true, done: 0 };
    case 'running':
    case 'failed':
    case 'completed':
    case 'validated':
      if (begun) throw migrationConflict(name, 'was run again meanwhile');
      await beginDown(tx, name);
      return { last: false, done: 0 };
    case 'undoing': {
      const { changes, undone } = await runDownBatch(tx, migration);
      if (changes === 0) await writeUndone(tx, name);
      else await retreat(tx, name, changes);
      return { last: changes === 0, done: undone };
    }
    default:
      return state satisfies never;
  }
};

/**
 * Undoes what a data migration has changed, whether it came to its end or not, batch by batch. Any number of processes may
 * do so at once; one that is running it ends.
 * @throws AppError INTERNAL_ERROR with what `down` threw, its batch rolled back. The next call goes on where this one ended.
 */
export const takeBackDataMigration = async (migration: DataMigration, context: RunContext): Promise<RunEnd> => {
  const total = await countChanges(context.postgres, migration.name);
  return runSteps(migration.name, {
    ...context,
    direction: 'down',
    step: (tx, record, begun) => stepDown(tx, migration, record, begun),
    progressOf: ({ state, changed }) => ({ done: state === 'undoing' ? total - changed : total, total }),
  });
};
