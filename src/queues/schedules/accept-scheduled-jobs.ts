import { validationError } from '../../lib/errors/app-error.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { prepareJob } from '../enqueue/prepare-job.ts';
import type { JobRegistry } from '../job-registry.ts';
import { insertJobs } from '../ledger/insert-jobs.ts';
import type { AcceptedJob } from '../ports.ts';

/** A job that a schedule asks for. */
export interface ScheduledJob {
  readonly name: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly scheduleName: string;
}

/** Accepts a job so many times in the given transaction, and answers each. */
export type AcceptScheduled = (tx: Queryable, job: ScheduledJob, count: number) => Promise<readonly AcceptedJob[]>;

/**
 * Accepts the jobs of schedules as rows of the ledger.
 * @throws AppError NOT_FOUND or VALIDATION_ERROR when the schedule no longer fits its contract.
 */
export const acceptScheduledJobs =
  (registry: JobRegistry): AcceptScheduled =>
  (tx, { name, payload, options, scheduleName }, count) => {
    const contract = registry.get(name);
    const jobs = Array.from({ length: count }, () => {
      const prepared = prepareJob(contract, payload, options, registry.keys);
      if ('faults' in prepared) throw validationError(`the schedule ${scheduleName}`, prepared.faults);
      return prepared.job;
    });
    return insertJobs(tx, jobs, { scheduleName });
  };
