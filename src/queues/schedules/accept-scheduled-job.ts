import { AppError, validationError } from '../../lib/errors/app-error.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { prepareJob } from '../enqueue/prepare-job.ts';
import type { JobRegistry } from '../job-registry.ts';
import { insertJobs } from '../ledger/insert-jobs.ts';
import type { ScheduledJob } from './fire-schedule.ts';

/**
 * Accepts the job of a fired schedule in the given transaction and answers its id.
 * @throws AppError NOT_FOUND or VALIDATION_ERROR when the schedule no longer fits its contract.
 */
export const acceptScheduledJob = async (
  tx: Queryable,
  registry: JobRegistry,
  { name, payload, options, scheduleName }: ScheduledJob,
): Promise<string> => {
  const prepared = prepareJob(registry.get(name), payload, options);
  if ('faults' in prepared) throw validationError(`the schedule ${scheduleName}`, prepared.faults);
  const [accepted] = await insertJobs(tx, [prepared.job], { scheduleName });
  if (!accepted) throw new AppError('INTERNAL_ERROR', 'the ledger did not answer the job it accepted', {});
  return accepted.id;
};
