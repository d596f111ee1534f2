import { z } from 'zod';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../src/platform.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle, type JobHandler } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { startScheduler } from '../../src/workers/scheduler.ts';
import { startWorker } from '../../src/workers/worker.ts';
import type { RunningRole } from '../../src/workers/running-role.ts';
import { concurrency, type Contestant, type OnJob } from './contestant.ts';

const schema = z.object({ id: z.number(), text: z.string() });
export const accepted = defineJob({ name: 'bench.accepted', queue: 'bench', payload: schema });
const direct = defineJob({ name: 'bench.direct', queue: 'bench', payload: schema, durability: 'queue' });
/** Runs until its signal is aborted. */
export const held = defineJob({ name: 'bench.held', queue: 'bench', payload: z.object({}), timeoutMs: 600_000 });

export interface BenchTreadle {
  readonly platform: Platform;
  /** Jobs of the ledger; they need a scheduler. */
  readonly accepted: Contestant;
  /** Jobs that go straight to their queue. */
  readonly direct: Contestant;
  startScheduler(): Promise<RunningRole>;
  close(): Promise<void>;
}

const handlersOf = (onJob: OnJob): readonly JobHandler[] =>
  [accepted, direct].map((contract) =>
    handle(contract, async ({ payload: { id } }) => {
      const lasting = onJob(id);
      if (lasting) await lasting;
      return completed(null);
    }),
  );

const isLedgerEmpty = async (platform: Platform): Promise<boolean> => {
  const { rows } = await platform.postgres.query<{ open: boolean }>(
    'SELECT EXISTS (SELECT 1 FROM treadle.jobs) AS open',
  );
  return rows[0]?.open === false;
};

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
    contracts: [accepted, direct, held],
    queues: [defineQueue({ name: 'bench', concurrency })],
  });
  const { enqueuer } = platform;
  const startWorkerOf = (onJob: OnJob): Promise<RunningRole> => startWorker(platform, { handlers: handlersOf(onJob) });
  const close = (): Promise<void> => platform.close();
  return {
    platform,
    accepted: {
      name: 'Treadle',
      add: (data) => enqueuer.enqueue(accepted, data),
      addAt: (data, runAt) => enqueuer.enqueue(accepted, data, { runAt }),
      addBulk: (all) => enqueuer.enqueueMany(accepted, all),
      startWorker: startWorkerOf,
      settled: async () => {
        while (!(await isLedgerEmpty(platform)));
      },
      close,
    },
    direct: {
      name: 'Treadle',
      add: (data) => enqueuer.enqueue(direct, data),
      addAt: () => Promise.reject(new Error('jobs that go straight to their queue have no delay')),
      addBulk: (all) => enqueuer.enqueueMany(direct, all),
      startWorker: startWorkerOf,
      settled: () => Promise.resolve(),
      close,
    },
    startScheduler: () => startScheduler(platform, { schedules: [] }),
    close,
  };
};
