import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { Pool } from 'pg';
import { concurrency, type Contestant, type Data } from './contestant.ts';

const task = 'raw';
const logger = new Logger(() => () => undefined);

/** graphile-worker with the batching of its documentation's page on performance. */
export const openGraphileWorker = async (postgresUrl: string): Promise<Contestant> => {
  const preset = {
    worker: {
      connectionString: postgresUrl,
      concurrentJobs: concurrency,
      maxPoolSize: concurrency + 2,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      // As often as pg-boss may look for what has become due.
      pollInterval: 500,
      logger,
    },
  };
  const utils = await makeWorkerUtils({ preset: { worker: { ...preset.worker, maxPoolSize: 20 } } });
  await utils.migrate();
  const pool = new Pool({ connectionString: postgresUrl, max: 1 });
  const isEmpty = async (): Promise<boolean> => {
    const { rows } = await pool.query<{ open: boolean }>(
      'SELECT EXISTS (SELECT 1 FROM graphile_worker._private_jobs) AS open',
    );
    return rows[0]?.open === false;
  };
  return {
    name: 'graphile-worker',
    add: (data) => utils.addJob(task, data),
    addAt: (data, runAt) => utils.addJob(task, data, { runAt }),
    addBulk: (all) => utils.addJobs(all.map((data) => ({ identifier: task, payload: data }))),
    startWorker: async (onJob) => {
      const runner = await run({
        preset,
        noHandleSignals: true,
        taskList: { [task]: async (data) => onJob((data as Data).id) },
      });
      return { close: () => runner.stop() };
    },
    settled: async () => {
      while (!(await isEmpty()));
    },
    close: async () => {
      await utils.release();
      await pool.end();
    },
  };
};
