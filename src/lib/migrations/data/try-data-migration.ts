import { toAppError } from '../../errors/classify.ts';
import { AppError } from '../../errors/app-error.ts';
import type { Transaction } from '../../postgres/transaction.ts';
import { findFaults, runUpBatch } from './apply-data-migration.ts';
import { countChanges } from './data-changes.ts';
import { ensureRecord, findRecord, type DataMigrationState } from './data-migration-record.ts';
import type { DataMigration } from './define-data-migration.ts';
import type { RunContext } from './run-steps.ts';
import { runDownBatch } from './take-back-data-migration.ts';

type Db = RunContext['postgres'];

/** What a run would begin with. */
export interface DataMigrationTrial {
  readonly name: string;
  readonly state: DataMigrationState;
  /** Rows that are left to change, or changes left to undo; null where nobody can count them. */
  readonly left: number | null;
  /** What the next batch would do; null where there is none. */
  readonly batch: number | null;
  /** What is wrong: the error of the batch, or what the validation finds where only that is left. */
  readonly faults: readonly string[];
}

/** Runs `fn` in a transaction that is rolled back. */
const rolledBack = async <T>(postgres: Db, fn: (tx: Transaction) => Promise<T>): Promise<T> => {
  const undo = new Error('a trial is rolled back');
  const answers: T[] = [];
  try {
    await postgres.transaction(async (tx) => {
      answers.push(await fn(tx));
      throw undo;
    });
  } catch (error) {
    if (error !== undo) throw error;
  }
  const answer = answers.at(-1);
  if (answer === undefined) throw new AppError('INTERNAL_ERROR', 'a trial gave no answer', {});
  return answer;
};

interface Tried {
  readonly batch: number | null;
  readonly faults: readonly string[];
}

/** What the author's function throws is what the trial is to find out. */
const attempt = async (postgres: Db, fn: (tx: Transaction) => Promise<Tried>): Promise<Tried> => {
  try {
    return await rolledBack(postgres, fn);
  } catch (error) {
    const known = toAppError(error);
    const text = known.code === 'INTERNAL_ERROR' && error instanceof Error ? error.message : known.message;
    return { batch: null, faults: [text] };
  }
};

/** Runs the next batch of a data migration, or its validation where only that is left, and rolls it back. */
export const tryDataMigration = async (migration: DataMigration, postgres: Db): Promise<DataMigrationTrial> => {
  const { name, count } = migration;
  const { state, cursor, finishedAt } = await findRecord(postgres, name);
  if (state === 'validated') return { name, state, left: 0, batch: null, faults: [] };
  if (state === 'undoing') return { name, state, left: null, batch: null, faults: ['is being taken back'] };
  const left = count ? await count(postgres) : null;
  const onlyValidation = state === 'completed' || (state === 'failed' && finishedAt !== null);
  const tried = await attempt(postgres, async (tx) => {
    if (onlyValidation) return { batch: null, faults: await findFaults(tx, migration) };
    await ensureRecord(tx, name);
    const { changed } = await runUpBatch(tx, migration, cursor);
    return { batch: changed, faults: [] };
  });
  return { name, state, left, ...tried };
};

/** Undoes the next batch of a data migration's changes, and rolls that back. */
export const tryTakingBack = async (migration: DataMigration, postgres: Db): Promise<DataMigrationTrial> => {
  const { name } = migration;
  const { state } = await findRecord(postgres, name);
  const left = await countChanges(postgres, name);
  const tried = await attempt(postgres, async (tx) => {
    const { changes, undone } = await runDownBatch(tx, migration);
    return { batch: changes === 0 ? null : undone, faults: [] };
  });
  return { name, state, left, ...tried };
};
