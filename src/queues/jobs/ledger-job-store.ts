import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { Alarm } from '../../lib/batching/alarm.ts';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import { AppError, notFound } from '../../lib/errors/app-error.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { jobColumns, jobRecordOf, type JobRow } from '../ledger/job-columns.ts';
import { finishedStates, type JobRecord, type JobState, type Page } from '../ledger/job-record.ts';
import { finishJobs } from '../ledger/ledger-writer.ts';
import type { JobEvent, JobFilter, JobStore } from '../ports.ts';
import type { Transports } from '../open-transports.ts';
import { transportIdOf, type QueueTransport } from '../transport.ts';
import type { JobAnnouncements } from './job-announcements.ts';
import { pageOfJobs, type Condition } from './job-pages.ts';
import { reopenJobs } from './reopen-jobs.ts';

export interface JobStoreParts {
  readonly postgres: Postgres;
  readonly announcements: JobAnnouncements;
  readonly transports: Transports;
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

/** Takes an entry out of its queue; false when somebody runs it. */
const takeOut = async (transport: QueueTransport, id: string): Promise<boolean> => {
  for (let look = 0; look < looks; look += 1) {
    if ((await transport.known([id])).has(id)) return (await transport.remove([id])).has(id);
    await delay(soonMs);
  }
  return true;
};

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
    if (!isUuid(id)) return undefined;
    const { rows } = await this.#parts.postgres.query<JobRow>(
      `SELECT ${jobColumns} FROM treadle.all_jobs WHERE id = $1 ORDER BY finished_at DESC NULLS FIRST LIMIT 1`,
      [id],
    );
    return rows[0] && jobRecordOf(rows[0]);
  }

  list(
    filter: JobFilter,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<JobRecord>> {
    return pageOfJobs(this.#parts.postgres, {
      ...page,
      states: filter.state && [filter.state],
      conditions: conditionsOf(filter),
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
        const job = await this.find(id);
        if (!job) return;
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
    const relayed = await this.#parts.postgres.transaction(
      async (tx) => {
        const { rows } = await tx.query<RelayedJob>(
          'UPDATE treadle.jobs SET cancel_requested = true WHERE id = $1 RETURNING state, returns, bundle',
          [id],
        );
        const [open] = rows;
        if (!open || open.state === 'active' || (open.state === 'waiting' && open.bundle === null)) return open;
        // While its row is locked the relay cannot take it, and who takes its bundle asks the ledger first.
        await finishJobs(tx, [{ id, state: 'cancelled' }]);
        return open.state === 'waiting' ? open : undefined;
      },
      { name: 'cancel' },
    );
    if (relayed) await this.#cancelRelayed(job.queue, id, relayed);
    return this.#get(id);
  }

  async retry(id: string): Promise<JobRecord> {
    const job = await this.#get(id);
    if (job.state === 'delayed') return this.promote(id);
    if (job.state !== 'dead' && job.state !== 'cancelled') throw this.#conflict(job, 'retried');
    await reopenJobs(this.#parts.postgres, [id]);
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
    await this.#parts.postgres.query('DELETE FROM treadle.finished_jobs WHERE id = $1', [id]);
  }

  /** Takes the job out of its queue, or reaches the worker that has it. */
  async #cancelRelayed(queue: string, id: string, { state, returns, bundle }: RelayedJob): Promise<void> {
    const { postgres, transports } = this.#parts;
    const finish = async (): Promise<void> => void (await finishJobs(postgres, [{ id, state: 'cancelled' }]));
    if (state === 'waiting' && bundle === null) {
      const transport = await transports.of(queue);
      const transportId = transportIdOf(id, returns);
      const removing = takeOut(transport, transportId);
      try {
        if (await withTimeout(removing, answerWithinMs, queue)) return await finish();
      } catch {
        // The queue's server is away. If the job can be taken out later it ends then; if not, its worker hears of it.
        void removing.then((removed) => (removed ? finish() : undefined)).catch(() => undefined);
      }
    }
    await postgres.query(`SELECT pg_notify('treadle_cancel', $1)`, [id]);
  }

  async #get(id: string): Promise<JobRecord> {
    const job = await this.find(id);
    if (!job) throw notFound('job', id);
    return job;
  }

  #conflict(job: JobRecord, verb: string): AppError {
    return new AppError('DATA_CONSISTENCY_ERROR', `the job is ${job.state} and cannot be ${verb}`, {
      entity: 'job',
      entityId: job.id,
    });
  }
}
