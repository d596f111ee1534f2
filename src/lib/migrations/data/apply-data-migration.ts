import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { parseOrThrow } from '../../errors/zod-faults.ts';
import type { Transaction } from '../../postgres/transaction.ts';
import { rememberChanges } from './data-changes.ts';
import {
  advance,
  beginUp,
  findRecord,
  resumeFailed,
  writeValidation,
  type DataMigrationRecord,
} from './data-migration-record.ts';
import type { DataMigration, UpAnswer, UpBatch } from './define-data-migration.ts';
import { migrationConflict } from './migration-conflict.ts';
import { runSteps, type RunContext, type RunEnd, type StepEnd } from './run-steps.ts';

const validationTimeoutMs = 600_000;
const answer = z.strictObject({ cursor: z.json(), changed: z.number().int().min(0) });

/**
 * Runs one batch of `up` in the given transaction.
 * @throws AppError VALIDATION_ERROR for an answer that is none; DATA_CONSISTENCY_ERROR for one that would never end.
 */
export const runUpBatch = async (
  tx: Transaction,
  { name, up, batchSize }: DataMigration,
  cursor: UpBatch['cursor'],
): Promise<UpAnswer> => {
  const remember: UpBatch['remember'] = (changes) => rememberChanges(tx, name, changes);
  const given: unknown = await up({ tx, cursor, limit: batchSize, remember });
  const parsed = parseOrThrow(answer, given, `the answer of up() of the data migration ${name}`);
  if (parsed.cursor !== null && isDeepStrictEqual(parsed.cursor, cursor))
    throw migrationConflict(name, 'would never end: up() answers the cursor that it was given');
  return parsed;
};

/** @throws AppError VALIDATION_ERROR for an answer that is no list of texts. */
export const findFaults = async (tx: Transaction, { name, validate }: DataMigration): Promise<readonly string[]> => {
  await tx.query(
    `SET LOCAL statement_timeout = ${validationTimeoutMs}; SET LOCAL idle_in_transaction_session_timeout = ${validationTimeoutMs}`,
  );
  const given: unknown = await validate(tx);
  return parseOrThrow(z.array(z.string()), given, `the answer of validate() of the data migration ${name}`);
};

const stepUp = async (
  tx: Transaction,
  migration: DataMigration,
  { state, cursor, error }: DataMigrationRecord,
  begun: boolean,
): Promise<StepEnd> => {
  const { name } = migration;
  const more = { last: false, done: 0 };
  switch (state) {
    case 'pending':
    case 'undone':
      if (begun) throw migrationConflict(name, 'was taken back meanwhile');
      await beginUp(tx, name);
      return more;
    case 'failed':
      if (begun) throw migrationConflict(name, `failed: ${error ?? 'nobody knows why'}`);
      await resumeFailed(tx, name);
      return more;
    case 'undoing':
      throw migrationConflict(name, `is being taken back; finish that first: treadle migrate data down ${name}`);
    case 'running': {
      const batch = await runUpBatch(tx, migration, cursor);
      await advance(tx, name, batch);
      return { last: false, done: batch.changed };
    }
    case 'completed':
      await writeValidation(tx, name, await findFaults(tx, migration));
      return more;
    case 'validated':
      return { last: true, done: 0 };
    default:
      return state satisfies never;
  }
};

/**
 * Runs what is left of a data migration, batch by batch, each in one transaction with its cursor, and validates it. Any
 * number of processes may do so at once: each batch is run by one of them, and when this answers the whole is valid.
 * @throws AppError DATA_CONSISTENCY_ERROR with what `validate` found, or while it is taken back; INTERNAL_ERROR with
 * what `up` threw, its batch rolled back. The next call goes on where this one ended.
 */
export const applyDataMigration = async (migration: DataMigration, context: RunContext): Promise<RunEnd> => {
  const { name, count } = migration;
  const { changed, state } = await findRecord(context.postgres, name);
  const left = count && state !== 'validated' ? await count(context.postgres) : undefined;
  const before = state === 'undone' ? 0 : changed;
  return runSteps(name, {
    ...context,
    direction: 'up',
    step: (tx, record, begun) => stepUp(tx, migration, record, begun),
    progressOf: (record) => ({ done: record.changed, total: left === undefined ? undefined : before + left }),
  });
};
