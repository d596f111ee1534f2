import type { JobState as BoardState, QueueJob, QueueJobJson } from '@bull-board/api/typings/app';
import { AppError } from '../../lib/errors/app-error.ts';
import type { JobRecord } from '../../queues/ledger/job-record.ts';
import type { BoardEntry, BoardSource } from './board-source.ts';
import { statusOf } from './board-status.ts';

const failedReason = ({ state, error }: JobRecord): string => {
  if (state === 'cancelled') return 'cancelled';
  return state === 'dead' ? `${error?.code ?? 'UNKNOWN'}: ${error?.message ?? 'no error was kept'}` : '';
};

const stackTraces = ({ failures, error }: JobRecord): string[] => {
  const stacks = failures.map(({ error: failure }) => failure.stack ?? `${failure.code}: ${failure.message}`);
  return stacks.length === 0 && error ? [error.stack ?? `${error.code}: ${error.message}`] : stacks;
};

/** The page takes a time that is missing for 1970, so one that ended without a start starts at its end. */
const timesOf = ({ startedAt, finishedAt }: JobRecord): Pick<QueueJobJson, 'processedOn' | 'finishedOn'> => {
  const start = startedAt ?? finishedAt;
  return {
    ...(start === null ? {} : { processedOn: start.getTime() }),
    ...(finishedAt === null ? {} : { finishedOn: finishedAt.getTime() }),
  };
};

/** A job of Treadle as Bull Board handles jobs. */
export class BoardJob implements QueueJob {
  readonly id: string;
  readonly opts: { readonly delay?: number };
  readonly #record: JobRecord;
  readonly #source: BoardSource;

  constructor({ record, source }: BoardEntry) {
    this.id = record.id;
    this.#record = record;
    this.#source = source;
    this.opts = { delay: this.#delayMs() };
  }

  promote(): Promise<void> {
    return this.#source.promote(this.id);
  }

  remove(): Promise<void> {
    return this.#source.remove(this.id);
  }

  retry(): Promise<void> {
    return this.#source.retry(this.id);
  }

  /** What a job works on is part of what was accepted. */
  updateData(): Promise<void> {
    return Promise.reject(new AppError('METHOD_NOT_ALLOWED', "a job's payload cannot be changed", {}));
  }

  getState(): Promise<BoardState> {
    return Promise.resolve(statusOf(this.#record.state));
  }

  toJSON(): QueueJobJson {
    const job = this.#record;
    return {
      id: job.id,
      name: job.name,
      progress: job.progress === null ? 0 : { ...job.progress, percent: Math.round(job.progress.fraction * 100) },
      attemptsMade: job.attemptsMade,
      timestamp: job.createdAt.getTime(),
      ...timesOf(job),
      processedBy: job.worker,
      delay: this.#delayMs(),
      failedReason: failedReason(job),
      stacktrace: stackTraces(job),
      data: job.payload ?? 'larger than 64 kB: open the job to see it',
      returnvalue: job.result ?? null,
      opts: {
        state: job.state,
        attempts: job.attemptsAllowed,
        priority: job.priority,
        timeoutMs: job.timeoutMs,
        tenant: job.tenant,
        tags: job.tags,
        ...(job.scheduleName === null ? {} : { schedule: job.scheduleName }),
        ...(job.parentId === null ? {} : { parent: job.parentId }),
      },
      ...(job.deduplicationKey === null ? {} : { deduplicationId: job.deduplicationKey }),
    };
  }

  #delayMs(): number {
    return Math.max(0, this.#record.dueAt.getTime() - this.#record.createdAt.getTime());
  }
}
