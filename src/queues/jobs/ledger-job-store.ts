import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { Alarm } from '../../lib/batching/alarm.ts';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import { AppError, notFound } from '../../lib/errors/app-error.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import { jobColumns, jobRecordOf, type JobRow } from '../ledger/job-columns.ts';
import { finishedStates, type JobRecord, type JobState, type Page } from '../ledger/job-record.ts';
import { finishJobs } from '../ledger/ledger-writer.ts';
import type { JobEvent, JobFilter, JobStore } from '../ports.ts';
import type { Transports } from '../open-transports.ts';
import { transportIdOf, type QueueTransport } from '../transport.ts';
import type { JobPayloads } from '../payloads/job-payloads.ts';
import type { ShowJob } from '../payloads/show-job.ts';
import type { JobAnnouncements } from './job-announcements.ts';
import { pageOfJobs, type Condition } from './job-pages.ts';
import { reopenJobs } from './reopen-jobs.ts';

export interface JobStoreParts {
  readonly postgres: Postgres;
  readonly announcements: JobAnnouncements;
  readonly transports: Pick<Transports, 'of'>;
  readonly payloads: JobPayloads;
  readonly show: ShowJob;
}

/** Changes may be announced before they can be seen elsewhere, and a notification may be lost: look again this often anyway. */
const lookAgainMs = 1_000;

const answerWithinMs = 2_000;

interface RelayedJob extends Record<string, unknown> {
  readonly state: JobState;
  readonly returns: number;
  readonly bundle: string | null;
}

/** A job that is relayed in this moment is in its queue soon. */
const soonMs = 100;
const looks = 5;

/** Takes an entry out of its queue; false when somebody runs it, or when `over` finds that there is nothing to take out. */
const takeOut = async (transport: QueueTransport, id: string, over: () => Promise<boolean>): Promise<boolean> => {
  for (let look = 0; look < looks; look += 1) {
    if ((await transport.known([id])).has(id)) return (await transport.remove([id])).has(id);
    if (await over()) return false;
    await delay(soonMs);
  }
  return true;
};

/**
 * Notes that the job is to be cancelled, and tells whoever runs it. One that lies in no queue by itself ends here: while
 * its row is locked the relay cannot take it, and who takes its bundle asks the ledger first. Answers the others.
 */
const requestCancel = async (tx: Transaction, id: string): Promise<RelayedJob | undefined> => {
  const { rows } = await tx.query<RelayedJob>(
    'UPDATE treadle.jobs SET cancel_requested = true WHERE id = $1 RETURNING state, returns, bundle',
    [id],
  );
  const [open] = rows;
  if (!open) return undefined;
  if (open.state !== 'active' && (open.state !== 'waiting' || open.bundle !== null)) {
    await finishJobs(tx, [{ id, state: 'cancelled' }]);
  }
  // A worker may have it already while the ledger still calls it waiting: starts are noted a moment later.
  if (open.state === 'active' || open.state === 'waiting') {
    await tx.query(`SELECT pg_notify('treadle_cancel', $1)`, [id]);
  }
  return open;
};

const cancelledAtOnce = 20;
const isGone = (error: unknown): boolean =>
  error instanceof AppError && (error.code === 'DATA_CONSISTENCY_ERROR' || error.code === 'NOT_FOUND');

const isUuid = (id: string): boolean => z.uuid().safeParse(id).success;
const isFinished = (state: JobState): boolean => (finishedStates as readonly JobState[]).includes(state);

const equals = (column: string, value: unknown): readonly Condition[] =>
  value === undefined ? [] : [{ sql: (parameter) => `${column} = ${parameter}`, value }];

const conditionsOf = (filter: JobFilter): readonly Condition[] => {
  const tagged: readonly Condition[] =
    filter.tag === undefined ? [] : [{ sql: (parameter) => `tags @> ARRAY[${parameter}]`, value: filter.tag }];
  return [
    ...equals('queue', filter.queue),
    ...equals('name', filter.name),
    ...equals('tenant', filter.tenant),
    ...equals('parent_id', filter.parent),
    ...tagged,
  ];
};

/** {@link JobStore} over the ledger. */
export class LedgerJobStore implements JobStore {
  readonly #parts: JobStoreParts;

  constructor(parts: JobStoreParts) {
    this.#parts = parts;
  }

  async find(id: string): Promise<JobRecord | undefined> {
    const job = await this.#look(id);
    if (job?.payload !== null) return job && this.#parts.show(job);
    return this.#parts.show({ ...job, payload: (await this.#parts.payloads.readLarge(id)) ?? null });
  }

  list(
    filter: JobFilter,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<JobRecord>> {
    return pageOfJobs(this.#parts.postgres, {
      ...page,
      list: 'jobs',
      scope: [filter],
      states: filter.state && [filter.state],
      conditions: conditionsOf(filter),
      show: this.#parts.show,
    });
  }

  async wait(id: string, timeoutMs: number, signal?: AbortSignal): Promise<JobRecord | undefined> {
    const deadline = AbortSignal.timeout(Math.max(1, timeoutMs));
    let last: JobRecord | undefined;
    for await (const event of this.watch(id, signal ? AbortSignal.any([deadline, signal]) : deadline)) last = event.job;
    return last;
  }

  async *watch(id: string, signal: AbortSignal): AsyncIterable<JobEvent> {
    if (!isUuid(id)) return;
    const alarm = new Alarm();
    const ring = (): void => alarm.ring();
    const stop = await this.#parts.announcements.listen(id, ring, signal);
    signal.addEventListener('abort', ring, { once: true });
    try {
      await this.#parts.postgres.query('UPDATE treadle.jobs SET watched = true WHERE id = $1 AND NOT watched', [id]);
      let seen: JobRecord | undefined;
      do {
        const found = await this.#look(id);
        if (!found) return;
        const job = this.#parts.show(found);
        if (job.state !== seen?.state || job.attemptsMade !== seen.attemptsMade) yield { type: 'state', job };
        else if (JSON.stringify(job.progress) !== JSON.stringify(seen.progress)) yield { type: 'progress', job };
        if (isFinished(job.state)) return;
        seen = job;
        if (!signal.aborted) await alarm.sleep(lookAgainMs);
      } while (!signal.aborted);
    } finally {
      signal.removeEventListener('abort', ring);
      stop();
    }
  }

  async cancel(id: string): Promise<JobRecord> {
    const job = await this.#get(id);
    if (isFinished(job.state)) throw this.#conflict(job, 'cancelled');
    const relayed = await this.#parts.postgres.transaction((tx) => requestCancel(tx, id), { name: 'cancel' });
    if (relayed?.state === 'waiting' && relayed.bundle === null) await this.#takeOut(job.queue, id, relayed.returns);
    if (job.children) await this.cancelChildren(id);
    return this.#get(id);
  }

  async cancelChildren(id: string): Promise<void> {
    for (let last = '00000000-0000-0000-0000-000000000000'; ;) {
      const { rows } = await this.#parts.postgres.query<{ id: string }>(
        `SELECT id FROM treadle.jobs WHERE parent_id = $1 AND id > $2 AND NOT cancel_requested ORDER BY id LIMIT ${cancelledAtOnce}`,
        [id, last],
      );
      const cancelled = await Promise.allSettled(rows.map((child) => this.cancel(child.id)));
      for (const result of cancelled) {
        // Children end meanwhile.
        if (result.status === 'rejected' && !isGone(result.reason)) throw result.reason;
      }
      const next = rows.at(-1);
      if (!next) break;
      last = next.id;
    }
    // Of an ended job: what is redriven from now on is not cancelled for it any more.
    await this.#parts.postgres.query(
      'UPDATE treadle.finished_jobs SET children_open = 0 WHERE id = $1 AND children_open > 0',
      [id],
    );
  }

  async retry(id: string): Promise<JobRecord> {
    const job = await this.#get(id);
    if (job.state === 'delayed') return this.promote(id);
    if (job.state !== 'dead' && job.state !== 'cancelled') throw this.#conflict(job, 'retried');
    await this.#parts.postgres.transaction((tx) => reopenJobs(tx, [id]), { name: 'retry' });
    return this.#get(id);
  }

  async promote(id: string): Promise<JobRecord> {
    const { rowCount } = await this.#parts.postgres.query(
      `WITH promoted AS (
         UPDATE treadle.jobs SET state = 'accepted', due_at = now() WHERE id = $1 AND state = 'delayed' RETURNING id)
       SELECT id, (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping) FROM promoted`,
      [isUuid(id) ? id : null],
    );
    const job = await this.#get(id);
    if (rowCount === 0) throw this.#conflict(job, 'promoted');
    return job;
  }

  async remove(id: string): Promise<void> {
    const job = await this.#get(id);
    if (job.state === 'active') throw this.#conflict(job, 'removed');
    if (!isFinished(job.state)) await this.cancel(id);
    await this.#parts.postgres.query(
      `WITH removed AS (DELETE FROM treadle.finished_jobs WHERE id = $1 RETURNING id)
       DELETE FROM treadle.payloads WHERE job_id IN (SELECT id FROM removed)`,
      [id],
    );
  }

  /** Takes a job that nobody runs yet out of its queue, and ends it then. */
  async #takeOut(queue: string, id: string, returns: number): Promise<void> {
    const { postgres, transports } = this.#parts;
    const finish = async (): Promise<void> => void (await finishJobs(postgres, [{ id, state: 'cancelled' }]));
    const over = async (): Promise<boolean> =>
      (await postgres.query('SELECT FROM treadle.jobs WHERE id = $1 AND returns = $2', [id, returns])).rowCount === 0;
    const transportId = transportIdOf(id, returns);
    const removing = transports.of(queue).then((transport) => takeOut(transport, transportId, over));
    try {
      if (await withTimeout(removing, answerWithinMs, queue)) await finish();
    } catch {
      // The queue's server is away. If the job can be taken out later it ends then; if not, its worker has heard of it.
      void removing.then((removed) => (removed ? finish() : undefined)).catch(() => undefined);
    }
  }

  /** The job as its row has it, without a payload that is too large to lie there. */
  async #look(id: string): Promise<JobRecord | undefined> {
    if (!isUuid(id)) return undefined;
    const { rows } = await this.#parts.postgres.query<JobRow>(
      `SELECT ${jobColumns} FROM treadle.all_jobs WHERE id = $1 ORDER BY finished_at DESC NULLS FIRST LIMIT 1`,
      [id],
    );
    return rows[0] && jobRecordOf(rows[0]);
  }

  async #get(id: string): Promise<JobRecord> {
    const job = await this.#look(id);
    if (!job) throw notFound('job', id);
    return this.#parts.show(job);
  }

  #conflict(job: JobRecord, verb: string): AppError {
    return new AppError('DATA_CONSISTENCY_ERROR', `the job is ${job.state} and cannot be ${verb}`, {
      entity: 'job',
      entityId: job.id,
    });
  }
}
