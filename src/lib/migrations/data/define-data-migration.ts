import { z } from 'zod';
import { parseOrThrow } from '../../errors/zod-faults.ts';
import type { Queryable } from '../../postgres/queryable.ts';
import type { Transaction } from '../../postgres/transaction.ts';

/** What JSON can hold. */
export type JsonValue = z.output<ReturnType<typeof z.json>>;

/** One thing that `up` changed. */
export interface DataChange {
  /** Names the row or value among all that this migration changes. */
  readonly key: string;
  /** What was there; `null` for nothing. */
  readonly before: JsonValue;
  /** What `up` wrote, so that `down` can tell whether somebody has written since. */
  readonly after: JsonValue;
}

/** Everything done through `tx` commits with the cursor, or not at all. */
export interface UpBatch {
  readonly tx: Transaction;
  /** What the batch before answered; `null` in the first. */
  readonly cursor: JsonValue;
  /** How many rows to change at most. */
  readonly limit: number;
  /** Keeps what the batch changes, for `down`. A key remembered again keeps its first `before`. */
  readonly remember: (changes: readonly DataChange[]) => Promise<void>;
}

export interface UpAnswer {
  /** Where the next batch begins, another one each time; `null` when there is nothing left. */
  readonly cursor: JsonValue;
  /** How many rows were changed. */
  readonly changed: number;
}

export interface DownBatch {
  readonly tx: Transaction;
  /** What `up` remembered: the next of it, at most a batch. It is forgotten when the batch commits. */
  readonly changes: readonly DataChange[];
}

export interface DownAnswer {
  /** How many of the changes were undone; the others are somebody else's by now. */
  readonly undone: number;
}

export interface DataMigrationDefinition {
  /** They run in the order of their names. */
  readonly name: string;
  readonly description: string;
  /** Changes the next rows. Run once for each cursor, in order, whichever process does and however often one dies. */
  readonly up: (batch: UpBatch) => Promise<UpAnswer>;
  /** Undoes the given changes, where nobody has written over them. Called until none are left; never if `up` remembers none. */
  readonly down: (batch: DownBatch) => Promise<DownAnswer>;
  /** Looks at the result when `up` is done, and answers what is wrong with it, in words; nothing if all is well. */
  readonly validate: (db: Queryable) => Promise<readonly string[]>;
  /** How many rows `up` has yet to change, for showing how far it is. */
  readonly count?: (db: Queryable) => Promise<number>;
  /** 500 by default. */
  readonly batchSize?: number;
}

export interface DataMigration extends Omit<DataMigrationDefinition, 'count'> {
  readonly count: DataMigrationDefinition['count'];
  readonly batchSize: number;
}

const isFunction = (value: unknown): boolean => typeof value === 'function';
const work = z.custom(isFunction, 'must be a function');

/** What every data migration has, wherever it was made. */
export const dataMigrationShape = z.strictObject({
  name: z
    .string()
    .max(200)
    .regex(
      /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/,
      'must be lower case letters and digits joined by dashes, dots or underscores',
    ),
  description: z.string().trim().min(1, 'must say what the migration does'),
  up: work,
  down: work,
  validate: work,
  count: work.optional(),
  batchSize: z.number().int().min(1).max(100_000),
});

/**
 * Defines a change of data that is made in batches, beside the app that goes on working. List it in `defineJobs`; run it by
 * `treadle migrate data up`, or as the job `maintenance.migrate`.
 * @throws AppError VALIDATION_ERROR naming what is wrong with the definition.
 */
export const defineDataMigration = (definition: DataMigrationDefinition): DataMigration => {
  const migration: DataMigration = { ...definition, count: definition.count, batchSize: definition.batchSize ?? 500 };
  parseOrThrow(dataMigrationShape, migration, `the data migration ${JSON.stringify(definition.name)}`);
  return Object.freeze(migration);
};
