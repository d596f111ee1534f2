import { BaseAdapter } from '@bull-board/api/dist/queueAdapters/base.js';
import type {
  AppJobScheduler,
  JobCleanStatus,
  JobCounts,
  JobSchedulerRepeatOptions,
  JobSchedulerUpdateResult,
  JobStatus,
  QueueJob,
  QueueJobOptions,
  QueueMetrics,
  QueueWorker,
  RedisStats,
  Status,
} from '@bull-board/api/typings/app';
import { AppError } from '../../lib/errors/app-error.ts';
import type { JobState } from '../../queues/ledger/job-record.ts';
import type { Platform } from '../../platform.ts';
import { BoardJob } from './board-job.ts';
import { BoardSchedules } from './board-schedules.ts';
import { workersOf } from './board-server.ts';
import type { BoardEntry, BoardSource } from './board-source.ts';
import { boardStatuses, isBoardStatus, statesOf } from './board-status.ts';
import { removeOld } from './clean-jobs.ts';
import type { LedgerSource } from './ledger-source.ts';

/** How many jobs of a tab the board can page through. */
const maxListed = 5_000;

const impossible = (message: string): Promise<never> => Promise.reject(new AppError('METHOD_NOT_ALLOWED', message, {}));

const cleanedStates: Readonly<Record<JobCleanStatus, readonly JobState[]>> = {
  completed: statesOf.completed,
  failed: statesOf.failed,
  delayed: statesOf.delayed,
  wait: statesOf.waiting,
  active: statesOf.active,
};

const byAge = (a: BoardEntry, b: BoardEntry): number =>
  (b.record.finishedAt ?? b.record.createdAt).getTime() - (a.record.finishedAt ?? a.record.createdAt).getTime();

/** One queue of Treadle on Bull Board: the ledger and further sources in one view, whose buttons act on them. */
export class TreadleQueueAdapter extends BaseAdapter {
  readonly #queue: string;
  readonly #platform: Platform;
  readonly #ledger: LedgerSource;
  readonly #sources: readonly BoardSource[];
  readonly #schedules: BoardSchedules;

  constructor(queue: string, platform: Platform, ledger: LedgerSource, others: readonly BoardSource[]) {
    // `bull`, because to the board a `bullmq` queue is one whose flows it may read from BullMQ itself.
    super('bull', { allowCompletedRetries: false });
    this.#queue = queue;
    this.#platform = platform;
    this.#ledger = ledger;
    this.#sources = [ledger, ...others];
    this.#schedules = new BoardSchedules(platform);
  }

  override getName(): string {
    return this.#queue;
  }

  override getStatuses(): Status[] {
    return ['latest', ...boardStatuses];
  }

  override getJobStatuses(): JobStatus[] {
    return [...boardStatuses];
  }

  override async getJobCounts(): Promise<JobCounts> {
    const counts = await Promise.all(this.#sources.map((source) => source.counts(this.#queue)));
    const sum = (states: readonly JobState[]): number =>
      counts.reduce((total, count) => total + states.reduce((part, state) => part + (count[state] ?? 0), 0), 0);
    const totals: Record<string, number> = {};
    for (const status of boardStatuses) totals[status] = sum(statesOf[status]);
    return totals;
  }

  override async getJobs(statuses: JobStatus[], start = 0, end = 9): Promise<QueueJob[]> {
    const limit = Math.min(end + 1, maxListed);
    const entries = await Promise.all(
      statuses.filter(isBoardStatus).map(async (status) => (await this.#list(statesOf[status], limit)).slice(start)),
    );
    return entries
      .flat()
      .toSorted(byAge)
      .map((entry) => new BoardJob(entry));
  }

  override async getJob(id: string): Promise<QueueJob | undefined> {
    const entry = await this.#find(id);
    return entry && new BoardJob(entry);
  }

  override async addJob(name: string, data: unknown, { delay, attempts }: QueueJobOptions): Promise<QueueJob> {
    const { id, queue } = await this.#platform.enqueuer.enqueueByName({
      name,
      payload: data,
      options: { delayMs: delay, attempts },
    });
    this.#ledger.forget();
    const record = await this.#platform.jobs.find(id);
    if (!record) throw new AppError('NOT_FOUND', `the job went to the queue ${queue} and is gone already`, {});
    return new BoardJob({ record, source: this.#ledger });
  }

  override async getJobLogs(id: string): Promise<string[]> {
    const entry = await this.#find(id);
    return (entry?.record.failures ?? []).map(
      ({ attempt, startedAt, durationMs, error }) =>
        `${startedAt} attempt ${attempt} failed after ${durationMs} ms: ${error.code}: ${error.message}`,
    );
  }

  override async clean(status: JobCleanStatus, graceTimeMs: number): Promise<void> {
    const states = cleanedStates[status];
    await Promise.all(this.#sources.map((source) => removeOld(source, this.#queue, states, graceTimeMs)));
  }

  override async empty(): Promise<void> {
    const states = [...statesOf.waiting, ...statesOf.delayed];
    await Promise.all(this.#sources.map((source) => removeOld(source, this.#queue, states, 0)));
  }

  override async promoteAll(): Promise<void> {
    for (const { record, source } of await this.#list(statesOf.delayed, maxListed)) await source.promote(record.id);
  }

  override async isPaused(): Promise<boolean> {
    return (await this.#ledger.summary(this.#queue))?.paused ?? false;
  }

  override async pause(): Promise<void> {
    await this.#platform.queues.pause(this.#queue);
    this.#ledger.forget();
  }

  override async resume(): Promise<void> {
    await this.#platform.queues.resume(this.#queue);
    this.#ledger.forget();
  }

  override getWorkers(): Promise<QueueWorker[] | null> {
    return workersOf(this.#platform.postgres, this.#queue);
  }

  override getRedisInfo(): Promise<string | null> {
    return Promise.resolve(null);
  }

  override getDatastoreStats(): Promise<RedisStats | null> {
    return Promise.resolve(null);
  }

  override async getJobSchedulers(): Promise<Omit<AppJobScheduler, 'queueName'>[]> {
    return [...(await this.#schedules.list(this.#queue))];
  }

  override async getJobSchedulersCount(): Promise<number> {
    return (await this.#schedules.list(this.#queue)).length;
  }

  override get supportsJobSchedulerUpdate(): boolean {
    return true;
  }

  override get supportsJobSchedulerRun(): boolean {
    return true;
  }

  override updateJobScheduler(id: string, repeat: JobSchedulerRepeatOptions): Promise<JobSchedulerUpdateResult> {
    return this.#schedules.update(id, repeat);
  }

  override removeJobScheduler(id: string): Promise<boolean> {
    return this.#schedules.remove(id);
  }

  override async runJobSchedulerNow(id: string): Promise<QueueJob | 'not-found'> {
    const accepted = await this.#schedules.runNow(id);
    const record = accepted && (await this.#platform.jobs.find(accepted.id));
    this.#ledger.forget();
    return record ? new BoardJob({ record, source: this.#ledger }) : 'not-found';
  }

  override getMetrics(): Promise<QueueMetrics> {
    return impossible('throughput is in GET /v1/queues');
  }

  override getGlobalConcurrency(): Promise<number | null> {
    return Promise.resolve(null);
  }

  override setGlobalConcurrency(): Promise<void> {
    return impossible('concurrency is set per process, by TREADLE_CONCURRENCY');
  }

  override obliterate(): Promise<void> {
    return impossible('queues come with the code and cannot be obliterated; clean their jobs instead');
  }

  async #list(states: readonly JobState[], limit: number): Promise<readonly BoardEntry[]> {
    const lists = await Promise.all(
      this.#sources.map(async (source) =>
        (await source.list(this.#queue, states, limit)).map((record) => ({ record, source })),
      ),
    );
    return lists.flat().toSorted(byAge).slice(0, limit);
  }

  async #find(id: string): Promise<BoardEntry | undefined> {
    for (const source of this.#sources) {
      const record = await source.find(this.#queue, id);
      if (record) return { record, source };
    }
    return undefined;
  }
}
