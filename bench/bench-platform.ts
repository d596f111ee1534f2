import { z } from 'zod';
import { loadConfig } from '../src/lib/config/load-config.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../src/platform.ts';
import { defineJob } from '../src/queues/define-job.ts';
import { defineQueue } from '../src/queues/define-queue.ts';
import { handle, type JobHandler } from '../src/queues/handle.ts';
import { completed } from '../src/queues/outcome.ts';
import { startScheduler } from '../src/workers/scheduler.ts';
import { startWorker } from '../src/workers/worker.ts';
import type { RunningRole } from '../src/workers/running-role.ts';

export const concurrency = 50;
export const payload = { id: 0, text: 'x'.repeat(1_000) };

const schema = z.object({ id: z.number(), text: z.string() });
export const accepted = defineJob({ name: 'bench.accepted', queue: 'bench', payload: schema });
export const direct = defineJob({ name: 'bench.direct', queue: 'bench', payload: schema, durability: 'queue' });

/** Called by every handled job, so that both sides do the same work. */
export type OnJob = (id: number) => void;

export interface BenchTreadle {
  readonly platform: Platform;
  startWorker(onJob: OnJob): Promise<RunningRole>;
  startScheduler(): Promise<RunningRole>;
}

const handlersOf = (onJob: OnJob): readonly JobHandler[] =>
  [accepted, direct].map((contract) =>
    handle(contract, async ({ payload: { id } }) => {
      onJob(id);
      return completed(null);
    }),
  );

/** Treadle over the given servers, with one queue of 50 jobs at once. */
export const openTreadle = async (postgresUrl: string, redisUrl: string | undefined): Promise<BenchTreadle> => {
  const config = loadConfig({
    DATABASE_URL: postgresUrl,
    TREADLE_MIGRATE: 'auto',
    TREADLE_QUEUES: 'bench',
    LOG_LEVEL: 'warn',
    ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
  });
  const log = createLog({ level: config.logLevel });
  const database = { url: postgresUrl, directUrl: postgresUrl, embedded: false, close: () => Promise.resolve() };
  const platform = await createPlatform(config, log, database, {
    contracts: [accepted, direct],
    queues: [defineQueue({ name: 'bench', concurrency })],
  });
  return {
    platform,
    startWorker: (onJob) => startWorker(platform, { handlers: handlersOf(onJob) }),
    startScheduler: () => startScheduler(platform, { schedules: [] }),
  };
};
