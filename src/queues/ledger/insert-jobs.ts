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

const insertWithoutKeys = async (
  db: Queryable,
  jobs: readonly PreparedJob[],
  options: InsertOptions,
): Promise<readonly AcceptedJob[]> => {
  const dueAt = jobs.map(dueAtOf);
  await db.query(loadSql(insertPlain), [
    `[${jobs.map((job, index) => rowJson(job, index, dueAt[index], options)).join(',')}]`,
  ]);
  const now = Date.now();
  return jobs.map((job, index) =>
    acceptedOf(job, job.id, (dueAt[index]?.getTime() ?? 0) > now ? 'delayed' : 'accepted'),
  );
};

const insertWithKeys = async (
  db: Queryable,
  jobs: readonly PreparedJob[],
  options: InsertOptions,
): Promise<readonly AcceptedJob[]> => {
  const rows = `[${jobs.map((job, index) => rowJson(job, index, dueAtOf(job), options)).join(',')}]`;
  const { rows: stored } = await db.query<{ position: number; id: string; state: AcceptedJob['state'] }>(
    loadSql(insertDeduplicated),
    [rows],
  );
  return stored.flatMap(({ position, id, state }) => {
    const job = jobs[position];
    return job ? [acceptedOf(job, id, state)] : [];
  });
};

/** Whether {@link insertJobs} needs more than one statement for them, so that all or nothing takes a transaction. */
export const needsTransaction = (jobs: readonly PreparedJob[]): boolean => {
  const withKeys = jobs.filter(isDeduplicated).length;
  return withKeys > 0 && withKeys < jobs.length;
};

/**
 * Writes the jobs into the ledger on `db`: in the caller's transaction, if that is one. Answers them in order; a duplicate
 * is answered with the id of the job that stands for it.
 */
export const insertJobs = async (
  db: Queryable,
  jobs: readonly PreparedJob[],
  options: InsertOptions = {},
): Promise<readonly AcceptedJob[]> => {
  const withKeys = jobs.filter(isDeduplicated);
  if (withKeys.length === jobs.length) return jobs.length === 0 ? [] : insertWithKeys(db, jobs, options);
  if (withKeys.length === 0) return insertWithoutKeys(db, jobs, options);
  const plain = (
    await insertWithoutKeys(
      db,
      jobs.filter((job) => !isDeduplicated(job)),
      options,
    )
  ).values();
  const keyed = (await insertWithKeys(db, withKeys, options)).values();
  return jobs.flatMap((job) => (isDeduplicated(job) ? keyed : plain).next().value ?? []);
};
