import { Pool } from 'pg';
import { PgBoss, type Job } from 'pg-boss';
import { concurrency, type Contestant, type Data, type OnJob } from './contestant.ts';

const schema = 'raw_boss';
const queue = 'raw';

/**
 * pg-boss with what its documentation offers for throughput and latency: batches as large as the concurrency, the next of
 * which is fetched at once while they come back full, bulk inserts, and NOTIFY.
 */
export const openPgBoss = async (postgresUrl: string): Promise<Contestant> => {
  const boss = new PgBoss({ connectionString: postgresUrl, schema, useListenNotify: true, schedule: false });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue(queue, { notify: true });
  const pool = new Pool({ connectionString: postgresUrl, max: 1 });
  let last: string | undefined;
  const handlerOf =
    (onJob: OnJob) =>
    async (jobs: readonly Job<Data>[]): Promise<void> => {
      last = jobs.at(-1)?.id;
      await Promise.all(jobs.map(async ({ data }) => onJob(data.id)));
    };
  const isActive = async (): Promise<boolean> => {
    const { rows } = await pool.query<{ state: string }>(
      `SELECT state FROM ${schema}.job WHERE name = $1 AND id = $2`,
      [queue, last],
    );
    return rows[0]?.state === 'active';
  };
  return {
    name: 'pg-boss',
    add: (data) => boss.send(queue, data),
    addAt: (data, startAfter) => boss.send(queue, data, { startAfter }),
    addBulk: (all) =>
      boss.insert(
        queue,
        all.map((data) => ({ data })),
      ),
    startWorker: async (onJob) => {
      const options = {
        batchSize: concurrency,
        burstWhenBatchFull: true,
        // NOTIFY tells of what is due now; the rest is found by polling, no more often than it allows.
        pollingIntervalSeconds: 0.5,
        notifyPollingIntervalSeconds: 0.5,
      };
      const id = await boss.work(queue, options, handlerOf(onJob));
      return { close: () => boss.offWork(queue, { id, wait: true }) };
    },
    // A batch is completed in one statement.
    settled: async () => {
      while (await isActive());
    },
    close: async () => {
      await boss.stop({ timeout: 5_000 });
      await pool.end();
    },
  };
};
