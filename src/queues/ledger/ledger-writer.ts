import { GroupCommit } from '../../lib/batching/group-commit.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { queryOften, type PreparingQueryable, type Queryable } from '../../lib/postgres/queryable.ts';
import type { JobMetrics } from '../job-metrics.ts';
import type { ChildFailurePolicy } from '../outcome.ts';
import type { FailedAttempt, JobProgress } from './job-record.ts';

/** How a job ended. `result` is JSON text. */
export interface Ending {
  readonly id: string;
  readonly state: 'completed' | 'dead' | 'cancelled';
  /** The number under which the attempt ran; absent when no attempt but somebody ended the job. */
  readonly returns?: number;
  readonly attemptsMade?: number;
  readonly startedAt?: Date;
  readonly worker?: string;
  readonly resultJson?: string;
  readonly error?: FailedAttempt['error'];
  readonly failure?: FailedAttempt;
  /** The last that was not noted yet. */
  readonly progress?: JobProgress;
  /** Its end may let another job begin. */
  readonly limited?: boolean | undefined;
}

/** A job that goes back to the ledger, to run again at `dueAt`. */
export interface Return {
  readonly id: string;
  readonly returns: number;
  readonly attemptsMade: number;
  readonly dueAt: Date;
  readonly startedAt?: Date;
  readonly worker: string;
  readonly failure?: FailedAttempt;
  /** Given: it waits for its children. */
  readonly onChildFailure?: ChildFailurePolicy;
  readonly limited?: boolean | undefined;
  /** The trace of this attempt, for a job that was enqueued in none: its next attempts belong to it. */
  readonly traceparent?: string;
}

export interface Mark {
  readonly id: string;
  readonly returns: number;
  readonly startedAt: Date;
  readonly worker: string;
  readonly progress?: JobProgress;
  /** Told when somebody wants the job cancelled, or when the attempt's number is no longer the job's: it ended or went back. */
  readonly onRefused: (why: 'cancelled' | 'gone') => void;
}

/** What came of a {@link Return}: another attempt or somebody else was first, or somebody wants the job cancelled. */
export type TakenBack = 'taken' | 'refused' | 'cancelled';

const finish = new URL('./finish-jobs.sql', import.meta.url);
const takeBack = new URL('./return-jobs.sql', import.meta.url);
const mark = new URL('./mark-jobs.sql', import.meta.url);

const endingJson = (ending: Ending): string => {
  const { id, state, returns, attemptsMade, startedAt, worker, error, failure, progress, resultJson } = ending;
  const fields = JSON.stringify({
    id,
    state,
    returns,
    attempts_made: attemptsMade,
    started_at: startedAt,
    worker,
    error,
    failure,
    progress,
  });
  return resultJson === undefined ? fields : `${fields.slice(0, -1)},"result":${resultJson}}`;
};

/** Ends jobs on the given connection; true for each that was still open. In one transaction with the caller's effects, if it is one. */
export const finishJobs = async (db: Queryable, endings: readonly Ending[]): Promise<readonly boolean[]> => {
  const { rows } = await queryOften<{ ended: number; ids: string[] | null }>(db, loadSql(finish), [
    `[${endings.map(endingJson).join(',')}]`,
    endings.length,
    endings.some(({ limited }) => limited),
  ]);
  const [{ ended, ids } = { ended: 0, ids: null }] = rows;
  if (ended === endings.length) return endings.map(() => true);
  const closed = new Set(ids);
  // `delete` answers true once, so of two endings of one job in a batch only the first counts.
  return endings.map(({ id }) => closed.delete(id));
};

const takeBackJobs = async (db: PreparingQueryable, returns: readonly Return[]): Promise<readonly TakenBack[]> => {
  const rows = returns.map((back) => ({
    id: back.id,
    returns: back.returns,
    attempts_made: back.attemptsMade,
    due_at: back.dueAt,
    started_at: back.startedAt,
    worker: back.worker,
    failure: back.failure,
    child_failure: back.onChildFailure,
    traceparent: back.traceparent,
  }));
  const { rows: changed } = await db.queryPrepared<{ id: string; cancel_requested: boolean }>(loadSql(takeBack), [
    JSON.stringify(rows),
    returns.map(({ id }) => id),
    returns.some(({ limited }) => limited),
  ]);
  const cancelled = new Map(changed.map((row) => [row.id, row.cancel_requested]));
  return returns.map(({ id }) => {
    const wanted = cancelled.get(id);
    if (wanted === undefined) return 'refused';
    return wanted ? 'cancelled' : 'taken';
  });
};

interface MarkedRow extends Record<string, unknown> {
  readonly id: string;
  readonly cancel_requested: boolean;
  readonly busy: boolean;
}

/** Answers the marks of jobs that somebody else was writing at the moment. */
const markJobs = async (db: PreparingQueryable, marks: readonly Mark[]): Promise<readonly Mark[]> => {
  const rows = marks.map(({ id, returns, startedAt, worker, progress }) => ({
    id,
    returns,
    started_at: startedAt,
    worker,
    progress,
  }));
  const { rows: found } = await db.queryPrepared<MarkedRow>(loadSql(mark), [
    JSON.stringify(rows),
    marks.map(({ id }) => id),
  ]);
  const byId = new Map(found.map((row) => [row.id, row]));
  for (const { id, onRefused } of marks) {
    const row = byId.get(id);
    if (!row) onRefused('gone');
    else if (row.cancel_requested) onRefused('cancelled');
  }
  return marks.filter(({ id }) => byId.get(id)?.busy);
};

const markEveryMs = 50;

/** Writes what workers learn into the ledger, many jobs a statement. */
export class LedgerWriter {
  readonly #postgres: Postgres;
  readonly #log: Log;
  readonly #endings: GroupCommit<Ending, boolean>;
  readonly #returns: GroupCommit<Return, TakenBack>;
  readonly #marks = new Map<string, Mark>();
  #marking: NodeJS.Timeout | undefined;
  #markWrite: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(postgres: Postgres, log: Log, metrics: JobMetrics) {
    this.#postgres = postgres;
    this.#log = log;
    const onConnectionError = (error: unknown): void => log.warn({ event: 'ledger.unreachable', err: error });
    this.#endings = new GroupCommit({
      maxBatch: 500,
      writers: 2,
      onConnectionError,
      write: (endings) => {
        metrics.written('ends', endings.length);
        return finishJobs(postgres, endings);
      },
    });
    this.#returns = new GroupCommit({
      maxBatch: 500,
      onConnectionError,
      write: (returns) => {
        metrics.written('returns', returns.length);
        return takeBackJobs(postgres, returns);
      },
    });
  }

  /** Ends the job; false when another attempt ended it before. Waits out a Postgres that can't be reached. */
  finish(ending: Ending): Promise<boolean> {
    const progress = this.#marks.get(ending.id)?.progress;
    this.#marks.delete(ending.id);
    return this.#endings.submit(progress ? { ...ending, progress } : ending);
  }

  /** Takes the job back, also when somebody wants it cancelled: the caller ends it then. */
  takeBack(back: Return): Promise<TakenBack> {
    this.#marks.delete(back.id);
    return this.#returns.submit(back);
  }

  /** Notes start or progress soon; jobs that end before are never noted, so short jobs cost nothing here. */
  mark(given: Mark): void {
    const before = this.#marks.get(given.id);
    this.#marks.set(given.id, before?.progress && !given.progress ? { ...given, progress: before.progress } : given);
    this.#marking ??= setTimeout(() => this.#flushMarks(), markEveryMs);
  }

  /** Forgets what was to be noted of a job whose attempt is over. */
  unmark(id: string): void {
    this.#marks.delete(id);
  }

  /** Of a job whose attempt was interrupted only its progress is still to be noted: the next attempt may go on from there. */
  keepProgress(id: string): void {
    if (!this.#marks.get(id)?.progress) this.unmark(id);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#marking);
    this.#flushMarks();
    await Promise.all([this.#endings.close(), this.#returns.close(), this.#markWrite]);
  }

  #flushMarks(): void {
    this.#marking = undefined;
    const marks = [...this.#marks.values()];
    this.#marks.clear();
    if (marks.length === 0) return;
    // Only what operators see is late; the next mark or the end of the job sets it right.
    this.#markWrite = this.#writeMarks(marks).catch((error: unknown) =>
      this.#log.debug({ event: 'ledger.mark-failed', err: error }),
    );
  }

  async #writeMarks(marks: readonly Mark[]): Promise<void> {
    const busy = await markJobs(this.#postgres, marks);
    // Most of these are ending; one that does not is noted next time.
    for (const each of busy) if (!this.#closed && !this.#marks.has(each.id)) this.mark(each);
  }
}
