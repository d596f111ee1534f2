import { createPostgresBackend, Queue, Worker, withBackend } from 'bullmq';
import { Redis } from 'ioredis';
import { Pool } from 'pg';
import { concurrency, type Contestant, type Data } from './contestant.ts';

const options = { removeOnComplete: true, removeOnFail: true };
const postgres = withBackend(createPostgresBackend);

/** BullMQ as its documentation shows it, with nothing of Treadle's around it. */
export const openRawBullmq = (postgresUrl: string, redisUrl: string | undefined): Contestant => {
  const redis = redisUrl === undefined ? undefined : new Redis(redisUrl, { maxRetriesPerRequest: null });
  const pool = redis
    ? undefined
    : new Pool({ connectionString: postgresUrl, max: 20, options: '-c search_path=bullmq' }).setMaxListeners(0);
  const queue = redis
    ? new Queue<Data>('raw', { connection: redis })
    : new postgres.Queue<Data>('raw', { connection: pool as never });
  return {
    name: 'raw BullMQ',
    add: (data) => queue.add('job', data, options),
    addAt: (data, runAt) => queue.add('job', data, { ...options, delay: Math.max(0, runAt.getTime() - Date.now()) }),
    addBulk: (all) => queue.addBulk(all.map((data) => ({ name: 'job', data, opts: options }))),
    startWorker: async (onJob) => {
      const process = async (job: { readonly data: Data }): Promise<null> => {
        const lasting = onJob(job.data.id);
        if (lasting) await lasting;
        return null;
      };
      const worker = redis
        ? new Worker<Data>('raw', process, { connection: redis, concurrency })
        : new postgres.Worker<Data>('raw', process, { connection: pool as never, concurrency });
      await worker.waitUntilReady();
      return worker;
    },
    settled: () => Promise.resolve(),
    close: async () => {
      await queue.close();
      redis?.disconnect();
      await pool?.end();
    },
  };
};
