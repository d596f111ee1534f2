import type { FailedAttempt, JobProgress, JobRecord, JobState } from './job-record.ts';

/** What every statement that answers jobs selects, from treadle.all_jobs, jobs or finished_jobs (see the view for the missing ones). */
export const jobColumns = `id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, attempts_made, timeout_ms,
  deduplication_key, parent_id, schedule_name, due_at, created_at, started_at, finished_at, worker, progress, failures, result, error,
  children_total, children_open, children_failed`;

export interface JobRow extends Record<string, unknown> {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly state: JobState;
  readonly priority: number;
  readonly tenant: string;
  readonly payload: Readonly<Record<string, unknown>> | null;
  readonly tags: readonly string[];
  readonly attempts_allowed: number;
  readonly attempts_made: number;
  readonly timeout_ms: number;
  readonly deduplication_key: string | null;
  readonly parent_id: string | null;
  readonly schedule_name: string | null;
  readonly due_at: Date;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
  readonly worker: string | null;
  readonly progress: JobProgress | null;
  readonly failures: readonly FailedAttempt[];
  readonly result: unknown;
  readonly error: FailedAttempt['error'] | null;
  readonly children_total: number | null;
  readonly children_open: number | null;
  readonly children_failed: number | null;
}

/** The one place where a row becomes a record. */
export const jobRecordOf = (row: JobRow): JobRecord => ({
  id: row.id,
  name: row.name,
  queue: row.queue,
  state: row.state,
  priority: row.priority,
  tenant: row.tenant,
  payload: row.payload,
  tags: row.tags,
  attemptsAllowed: row.attempts_allowed,
  attemptsMade: row.attempts_made,
  timeoutMs: row.timeout_ms,
  deduplicationKey: row.deduplication_key,
  parentId: row.parent_id,
  scheduleName: row.schedule_name,
  dueAt: row.due_at,
  createdAt: row.created_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  worker: row.worker,
  progress: row.progress,
  failures: row.failures,
  result: row.result,
  error: row.error,
  children:
    row.children_total === null
      ? null
      : { total: row.children_total, open: row.children_open ?? 0, failed: row.children_failed ?? 0 },
});
