import { z } from 'zod';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { Subscription } from '../../../src/lib/postgres/subscription.ts';
import { defineJob } from '../../../src/queues/define-job.ts';
import { defineQueue } from '../../../src/queues/define-queue.ts';
import { JobRegistry, publishContracts } from '../../../src/queues/job-registry.ts';
import type { BuiltInSchedule } from '../../../src/queues/define-schedule.ts';
import type { ScheduleStore } from '../../../src/queues/ports.ts';
import { acceptScheduledJobs, type AcceptScheduled } from '../../../src/queues/schedules/accept-scheduled-jobs.ts';
import { createScheduleStore } from '../../../src/queues/schedules/schedule-store.ts';
import { Scheduler, type SchedulerOptions } from '../../../src/queues/schedules/scheduler.ts';
import type { TestDatabase } from '../../services/database.ts';

const report = defineJob({
  name: 'reports.send',
  payload: z.object({ to: z.string().min(1), copies: z.number().int().optional() }),
});
const tidy = defineJob({ name: 'reports.tidy', payload: z.object({}) });

const registry = new JobRegistry([report, tidy], [defineQueue({ name: 'default' })]);
const findContract = (name: string): ReturnType<JobRegistry['find']> => registry.find(name);

/** Tells the database of the jobs above. */
export const publish = (database: TestDatabase): Promise<void> => publishContracts(database.postgres, registry);

/** Accepts jobs of schedules as rows of the ledger, as a scheduler's process does. */
export const accept = acceptScheduledJobs(registry);

export const storeOf = (database: TestDatabase, now?: () => Date): ScheduleStore =>
  createScheduleStore({ postgres: database.postgres, registry, ...(now ? { now } : {}) });

export interface RunningScheduler {
  close(): Promise<void>;
}

/** A scheduler with connections of its own, as a process has them. */
export const startScheduler = async (
  database: TestDatabase,
  options: SchedulerOptions & {
    readonly builtIns?: readonly BuiltInSchedule[];
    readonly accept?: AcceptScheduled;
  } = {},
): Promise<RunningScheduler> => {
  const log = createLog({ level: 'silent' });
  const postgres = new Postgres(
    {
      url: database.url,
      directUrl: database.url,
      poolSize: 4,
      statementTimeoutMs: 10_000,
      applicationName: 'scheduler',
    },
    log,
  );
  const subscription = new Subscription(postgres, log);
  const { builtIns = [], accept: acceptJobs = accept, ...rest } = options;
  const scheduler = new Scheduler({ postgres, subscription, log, accept: acceptJobs, findContract, builtIns }, rest);
  await scheduler.start();
  return {
    close: async () => {
      await scheduler.close();
      await subscription.close();
      await postgres.close();
    },
  };
};

/** The fire times of a schedule, with the jobs that came of them; fails for a fire whose job is not there. */
export const firesOf = async (database: TestDatabase, schedule: string): Promise<readonly string[]> => {
  const rows = await database.query<{ fire_at: Date; jobs: number }>(
    `SELECT f.fire_at, (SELECT count(*)::int FROM treadle.jobs AS j WHERE j.id = f.job_id AND j.schedule_name = $1) AS jobs
     FROM treadle.schedule_fires AS f WHERE f.schedule_name = $1 AND f.job_id IS NOT NULL ORDER BY f.fire_at`,
    [schedule],
  );
  const [{ jobs } = { jobs: 0 }] = await database.query<{ jobs: number }>(
    'SELECT count(*)::int AS jobs FROM treadle.jobs WHERE schedule_name = $1',
    [schedule],
  );
  if (rows.some((row) => row.jobs !== 1) || jobs !== rows.length) {
    throw new Error(`${rows.length} fires and ${jobs} jobs of ${schedule}`);
  }
  return rows.map((row) => row.fire_at.toISOString());
};

/** Waits until `check` passes. */
export const eventually = async (check: () => Promise<void>, withinMs = 10_000): Promise<void> => {
  for (const deadline = Date.now() + withinMs; ;) {
    try {
      await check();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
};
