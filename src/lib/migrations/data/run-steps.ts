import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../errors/app-error.ts';
import { toAppError } from '../../errors/classify.ts';
import type { Postgres } from '../../postgres/postgres.ts';
import type { Transaction } from '../../postgres/transaction.ts';
import {
  ensureRecord,
  findRecord,
  lockRecord,
  writeFailure,
  type DataMigrationRecord,
} from './data-migration-record.ts';

export interface DataMigrationProgress {
  readonly name: string;
  /** Rows changed, or changes undone, so far. */
  readonly done: number;
  /** How many there are in all; undefined where the migration cannot count them. */
  readonly total: number | undefined;
}

export interface RunContext {
  readonly postgres: Pick<Postgres, 'query' | 'transaction'>;
  /** Ends the run between two batches; the next one goes on there. */
  readonly signal: AbortSignal;
  readonly onProgress?: ((progress: DataMigrationProgress) => void) | undefined;
}

export interface StepEnd {
  /** There is nothing left to do. */
  readonly last: boolean;
  /** Rows changed, or changes undone. */
  readonly done: number;
}

export interface StepRun extends RunContext {
  readonly direction: 'up' | 'down';
  /** One step, in a transaction that holds the record. `begun`: not the first of this run. */
  readonly step: (tx: Transaction, record: DataMigrationRecord, begun: boolean) => Promise<StepEnd>;
  readonly progressOf: (record: DataMigrationRecord) => Omit<DataMigrationProgress, 'name'>;
}

export interface RunEnd {
  readonly record: DataMigrationRecord;
  /** What this run did of it; other processes may have done the rest. */
  readonly done: number;
}

const pollMs = 100;
/** Of one batch; locks on the rows it changes last as long. */
const batchTimeoutMs = 60_000;

/** When this process is killed, the server ends the batch, and others need not wait for its statement. Windows cannot. */
const endWithUs = `SELECT set_config('client_connection_check_interval', '1000', true) WHERE version() !~* 'windows|mingw|msvc|visual c'`;

const stepOnce = ({ postgres, step }: StepRun, name: string, begun: boolean): Promise<StepEnd | undefined> =>
  postgres.transaction(
    async (tx) => {
      await tx.query(endWithUs);
      const record = await lockRecord(tx, name);
      return record && step(tx, record, begun);
    },
    { name: 'data-migration', timeoutMs: batchTimeoutMs },
  );

/** Steps until the last, and answers how much was done; while another process has the record, waits for it. */
const stepThrough = async (name: string, run: StepRun): Promise<number> => {
  const { postgres, signal, onProgress, progressOf } = run;
  let done = 0;
  for (let begun = false; ;) {
    signal.throwIfAborted();
    const end = await stepOnce(run, name, begun);
    if (end) {
      begun = true;
      done += end.done;
      if (end.last) return done;
    } else await delay(pollMs, undefined, { signal });
    if (onProgress) onProgress({ name, ...progressOf(await findRecord(postgres, name)) });
  }
};

/** True for what says nothing of the migration: it was interrupted, or the database went away. */
const isPassing = (error: unknown, signal: AbortSignal): boolean =>
  signal.aborted || toAppError(error).code === 'DB_CONNECTION_ERROR';

const failure = (name: string, error: unknown): AppError =>
  error instanceof AppError
    ? error
    : new AppError(
        'INTERNAL_ERROR',
        `data migration ${name} failed, and its last batch was rolled back: ${error instanceof Error ? error.message : 'unknown error'}`,
        {},
        { cause: error },
      );

/**
 * Runs the steps of a data migration. What a step throws is kept in the record, its transaction rolled back; an
 * interruption and a lost connection leave the record as it is.
 * @throws AppError INTERNAL_ERROR with the message of what a step threw, unless that was an AppError or an interruption.
 */
export const runSteps = async (name: string, run: StepRun): Promise<RunEnd> => {
  const { postgres, signal, direction } = run;
  await ensureRecord(postgres, name);
  try {
    const done = await stepThrough(name, run);
    return { record: await findRecord(postgres, name), done };
  } catch (error) {
    if (isPassing(error, signal)) throw error;
    // Should that fail too, the first error is the one to tell.
    await writeFailure(postgres, name, direction, error).catch(() => undefined);
    throw failure(name, error);
  }
};
