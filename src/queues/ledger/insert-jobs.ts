import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { PreparedJob } from '../enqueue/prepare-job.ts';
import type { AcceptedJob } from '../ports.ts';

const insertPlain = new URL('./insert-jobs.sql', import.meta.url);
const insertDeduplicated = new URL('./insert-deduplicated-jobs.sql', import.meta.url);

export interface InsertOptions {
  /** Set on jobs that a schedule fires. */
  readonly scheduleName?: string;
}

const dueAtOf = ({ options }: PreparedJob): Date | undefined =>
  options.runAt ??
  (options.delayMs === undefined || options.delayMs === 0 ? undefined : new Date(Date.now() + options.delayMs));

const isDeduplicated = ({ contract, options }: PreparedJob): boolean =>
  options.deduplicationKey !== undefined || contract.deduplicateBy.length > 0;

/** One job as the statements read it. */
const rowJson = (
  job: PreparedJob,
  position: number,
  dueAt: Date | undefined,
  { scheduleName }: InsertOptions,
): string => {
  const { contract, options } = job;
  return JSON.stringify({
    position,
    id: job.id,
    name: contract.name,
    queue: contract.queue,
    priority: options.priority ?? contract.priority,
    tenant: job.tenant,
    tags: options.tags,
    attempts: options.attempts ?? contract.attempts,
    timeout_ms: options.timeoutMs ?? contract.timeoutMs,
    parent_id: options.parent,
    schedule_name: scheduleName,
    due_at: dueAt,
    deduplication_key: options.deduplicationKey,
    paths: contract.deduplicateBy.length > 0 ? contract.deduplicateBy : undefined,
    payload: job.payload,
  });
};

const acceptedOf = (job: PreparedJob, id: string, state: AcceptedJob['state']): AcceptedJob => ({
  id,
  queue: job.contract.queue,
  name: job.contract.name,
  state,
});

/**
 * Writes the jobs into the ledger, all or none, in one statement on `db` (in the caller's transaction, if that is one).
 * Answers them in order; a duplicate is answered with the id of the job that stands for it.
 */
export const insertJobs = async (
  db: Queryable,
  jobs: readonly PreparedJob[],
  options: InsertOptions = {},
): Promise<readonly AcceptedJob[]> => {
  if (jobs.length === 0) return [];
  const dueAt = jobs.map(dueAtOf);
  const rows = `[${jobs.map((job, index) => rowJson(job, index, dueAt[index], options)).join(',')}]`;
  if (!jobs.some(isDeduplicated)) {
    await db.query(loadSql(insertPlain), [rows]);
    const now = Date.now();
    return jobs.map((job, index) =>
      acceptedOf(job, job.id, (dueAt[index]?.getTime() ?? 0) > now ? 'delayed' : 'accepted'),
    );
  }
  return insertMixed(db, jobs, rows);
};

const insertMixed = async (
  db: Queryable,
  jobs: readonly PreparedJob[],
  rows: string,
): Promise<readonly AcceptedJob[]> => {
  const { rows: stored } = await db.query<{ position: number; id: string; state: AcceptedJob['state'] }>(
    loadSql(insertDeduplicated),
    [rows],
  );
  return stored.flatMap(({ position, id, state }) => {
    const job = jobs[position];
    return job ? [acceptedOf(job, id, state)] : [];
  });
};
