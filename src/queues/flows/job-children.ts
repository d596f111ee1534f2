import { validationError } from '../../lib/errors/app-error.ts';
import type { KeyRing } from '../../lib/crypto/key-ring.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { JobContract, PayloadInputOf } from '../define-job.ts';
import { prepareJob, type PreparedJob } from '../enqueue/prepare-job.ts';
import type { ChildCounts, ChildOptions, EndedChild, JobChildren } from '../handle.ts';
import { batchesOf } from '../ledger/batches-of.ts';
import { insertJobs } from '../ledger/insert-jobs.ts';
import type { FailedAttempt, JobState } from '../ledger/job-record.ts';
import { OutcomeError } from '../outcome.ts';

export interface JobChildrenParts {
  readonly postgres: Postgres;
  readonly keys: KeyRing;
  readonly jobId: string;
  /** The number under which the attempt runs; see treadle.jobs.returns. */
  readonly returns: number;
  readonly tenant: string;
  readonly tracked: boolean;
  readonly awaited: number;
  /** Whether the job is still this attempt's; see {@link Attempt.holdsLock}. */
  readonly holdsLock: () => boolean | Promise<boolean>;
}

const batchSize = 1_000;
const pageSize = 500;

interface EndedRow extends Record<string, unknown> {
  readonly id: string;
  readonly name: string;
  readonly state: EndedChild['state'];
  readonly payload: EndedChild['payload'];
  readonly result: unknown;
  readonly error: FailedAttempt['error'] | null;
}

/** {@link JobChildren} of one attempt. */
export class LedgerJobChildren implements JobChildren {
  readonly #parts: JobChildrenParts;
  /** Children that earlier attempts added in this phase, and that are not to be added again. */
  #toSkip: number | undefined;

  constructor(parts: JobChildrenParts) {
    this.#parts = parts;
  }

  get awaited(): number {
    return this.#parts.awaited;
  }

  async spawn<C extends JobContract>(
    contract: C,
    payloads: Iterable<PayloadInputOf<C>> | AsyncIterable<PayloadInputOf<C>>,
    options: ChildOptions = {},
  ): Promise<void> {
    if (!this.#parts.tracked) {
      const message = 'a job that was enqueued straight to its queue can have no children';
      throw validationError('spawn()', [{ path: 'durability', message }]);
    }
    this.#toSkip ??= await this.#countAdded();
    let batch: PreparedJob[] = [];
    let index = -1;
    for await (const payload of payloads) {
      index += 1;
      if (this.#toSkip > 0) {
        this.#toSkip -= 1;
        continue;
      }
      batch.push(this.#prepare(contract, payload, options, index));
      if (batch.length === batchSize) {
        await this.#add(batch);
        batch = [];
      }
    }
    if (batch.length > 0) await this.#add(batch);
  }

  async counts(): Promise<ChildCounts> {
    const { rows } = await this.#parts.postgres.query<{ state: JobState; jobs: number }>(
      `SELECT state, count(*)::integer AS jobs FROM treadle.all_jobs WHERE parent_id = $1 GROUP BY state`,
      [this.#parts.jobId],
    );
    const of = (state: JobState): number => rows.find((row) => row.state === state)?.jobs ?? 0;
    const [completed, dead, cancelled] = [of('completed'), of('dead'), of('cancelled')];
    const total = rows.reduce((sum, { jobs }) => sum + jobs, 0);
    return { total, open: total - completed - dead - cancelled, completed, dead, cancelled };
  }

  async *ended(): AsyncIterable<EndedChild> {
    for (let last = '00000000-0000-0000-0000-000000000000'; ;) {
      const { rows } = await this.#parts.postgres.query<EndedRow>(
        `SELECT id, name, state, payload, result, error FROM treadle.finished_jobs
         WHERE parent_id = $1 AND id > $2 ORDER BY id LIMIT ${pageSize}`,
        [this.#parts.jobId, last],
      );
      yield* rows;
      const next = rows.at(-1);
      if (!next || rows.length < pageSize) return;
      last = next.id;
    }
  }

  #prepare(contract: JobContract, payload: unknown, options: ChildOptions, index: number): PreparedJob {
    const { jobId, tenant } = this.#parts;
    const prepared = prepareJob(contract, payload, { ...options, parent: jobId }, this.#parts.keys);
    if ('faults' in prepared) {
      throw validationError(
        `child ${index} of the job (${contract.name})`,
        prepared.faults.map((fault) => ({ ...fault, index })),
      );
    }
    const { job } = prepared;
    return job.tenant === '' && options.tenant === undefined ? { ...job, tenant } : job;
  }

  /** Waits for what an attempt before this one is adding in this moment. */
  async #countAdded(): Promise<number> {
    const { rows } = await this.#parts.postgres.query<{ added: number }>(
      `SELECT coalesce(children_spawned, 0) AS added FROM treadle.jobs WHERE id = $1 FOR NO KEY UPDATE`,
      [this.#parts.jobId],
    );
    return rows[0]?.added ?? 0;
  }

  /** @throws OutcomeError when the job is no longer this attempt's. */
  #add(jobs: readonly PreparedJob[]): Promise<void> {
    const { postgres, jobId, returns } = this.#parts;
    return postgres.transaction(
      async (tx) => {
        const { rows } = await tx.query(
          `SELECT FROM treadle.jobs WHERE id = $1 AND returns = $2 AND state IN ('waiting', 'active') FOR NO KEY UPDATE`,
          [jobId, returns],
        );
        // Whoever has the job after this attempt has the same number, and counts the children before it adds any: it counts
        // those of this transaction, which holds the row, or has the lock by now.
        if (rows.length === 0 || !(await this.#parts.holdsLock())) throw new OutcomeError({ kind: 'interrupted' });
        for (const part of batchesOf(jobs, (job) => job)) await insertJobs(tx, part);
        await tx.query('UPDATE treadle.jobs SET children_spawned = coalesce(children_spawned, 0) + $2 WHERE id = $1', [
          jobId,
          jobs.length,
        ]);
      },
      { name: 'spawn' },
    );
  }
}
