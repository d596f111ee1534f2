import { loadSql } from '../../lib/postgres/load-sql.ts';
import { activeTraceparent } from '../../lib/telemetry/tracing.ts';
import { queryOften, type Queryable } from '../../lib/postgres/queryable.ts';
import type { PreparedJob } from '../enqueue/prepare-job.ts';
import { claimParents } from '../flows/claim-parents.ts';
import type { AcceptedJob } from '../ports.ts';

const insertPlain = new URL('./insert-jobs.sql', import.meta.url);
const insertDeduplicated = new URL('./insert-deduplicated-jobs.sql', import.meta.url);
const insertPaced = new URL('./insert-paced-jobs.sql', import.meta.url);

export interface InsertOptions {
  /** Set on jobs that a schedule fires. */
  readonly scheduleName?: string;
  /** Their parents count them already. */
  readonly parentsClaimed?: boolean;
}

const dueAtOf = ({ options }: PreparedJob): Date | undefined =>
  options.runAt ??
  (options.delayMs === undefined || options.delayMs === 0 ? undefined : new Date(Date.now() + options.delayMs));

const needsMore = ({ pace, largeBytes }: PreparedJob): boolean => pace !== undefined || largeBytes !== undefined;

/** A child belongs to one parent, so it never stands for another job. */
const isDeduplicated = ({ contract, options }: PreparedJob): boolean =>
  options.parent === undefined && (options.deduplicationKey !== undefined || contract.deduplicateBy.length > 0);

const isPlain = (job: PreparedJob): boolean => !isDeduplicated(job) && !needsMore(job);

/** What only {@link insertPaced} reads. */
const fieldsOfPaced = ({ pace, largeBytes }: PreparedJob): Readonly<Record<string, unknown>> => ({
  large: largeBytes !== undefined,
  ...(pace && 'throttleMs' in pace
    ? { throttle_ms: pace.throttleMs }
    : { debounce_ms: pace?.debounceMs, debounce_max_ms: pace?.debounceMaxMs }),
});

/** One job as the statements read it. */
const rowJson = (
  job: PreparedJob,
  position: number,
  dueAt: Date | undefined,
  traceparent: string | undefined,
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
    group_paths: contract.groupBy,
    traceparent,
    paths: isDeduplicated(job) && contract.deduplicateBy.length > 0 ? contract.deduplicateBy : undefined,
    payload: job.payload,
    ...(needsMore(job) ? fieldsOfPaced(job) : undefined),
  });
};

const acceptedOf = (job: PreparedJob, id: string, state: AcceptedJob['state']): AcceptedJob => ({
  id,
  queue: job.contract.queue,
  name: job.contract.name,
  state,
});

const insertAllPlain = async (
  db: Queryable,
  jobs: readonly PreparedJob[],
  options: InsertOptions,
): Promise<readonly AcceptedJob[]> => {
  const dueAt = jobs.map(dueAtOf);
  const traceparent = activeTraceparent();
  await queryOften(db, loadSql(insertPlain), [
    `[${jobs.map((job, index) => rowJson(job, index, dueAt[index], traceparent, options)).join(',')}]`,
  ]);
  const now = Date.now();
  return jobs.map((job, index) =>
    acceptedOf(job, job.id, (dueAt[index]?.getTime() ?? 0) > now ? 'delayed' : 'accepted'),
  );
};

const insertOthers = async (
  db: Queryable,
  jobs: readonly PreparedJob[],
  options: InsertOptions,
): Promise<readonly AcceptedJob[]> => {
  const traceparent = activeTraceparent();
  const rows = `[${jobs.map((job, index) => rowJson(job, index, dueAtOf(job), traceparent, options)).join(',')}]`;
  const { rows: stored } = await db.query<{ position: number; id: string; state: AcceptedJob['state'] }>(
    // One statement for all of them: of one key the last counts, whichever of them need more.
    loadSql(jobs.some(needsMore) ? insertPaced : insertDeduplicated),
    [rows],
  );
  return stored.flatMap(({ position, id, state }) => {
    const job = jobs[position];
    return job ? [acceptedOf(job, id, state)] : [];
  });
};

/** Whether {@link insertJobs} needs more than one statement for them, so that all or nothing takes a transaction. */
export const needsTransaction = (jobs: readonly PreparedJob[]): boolean => {
  if (jobs.some(({ options }) => options.parent !== undefined)) return true;
  const plain = jobs.filter(isPlain).length;
  return plain > 0 && plain < jobs.length;
};

/**
 * Writes the jobs into the ledger on `db`: in the caller's transaction, if that is one. Answers them in order; a duplicate
 * is answered with the id of the job that stands for it.
 * @throws AppError VALIDATION_ERROR for a parent that is not an open job.
 */
export const insertJobs = async (
  db: Queryable,
  jobs: readonly PreparedJob[],
  options: InsertOptions = {},
): Promise<readonly AcceptedJob[]> => {
  if (jobs.length === 0) return [];
  if (!options.parentsClaimed) await claimParents(db, jobs);
  const plain = jobs.filter(isPlain);
  if (plain.length === jobs.length) return insertAllPlain(db, jobs, options);
  if (plain.length === 0) return insertOthers(db, jobs, options);
  const acceptedPlain = (await insertAllPlain(db, plain, options)).values();
  const others = jobs.filter((job) => !isPlain(job));
  const acceptedOthers = (await insertOthers(db, others, options)).values();
  return jobs.flatMap((job) => (isPlain(job) ? acceptedPlain : acceptedOthers).next().value ?? []);
};
