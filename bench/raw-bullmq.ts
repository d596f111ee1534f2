import { createPostgresBackend, Queue, Worker, withBackend } from 'bullmq';
import { Redis } from 'ioredis';
import { Pool } from 'pg';
import { concurrency, type OnJob, type payload } from './bench-platform.ts';

type Data = typeof payload;
const options = { removeOnComplete: true, removeOnFail: true };
const postgres = withBackend(createPostgresBackend);

/** BullMQ as its documentation shows it, with nothing of Treadle's around it. */
export interface RawBullmq {
  add(data: Data): Promise<unknown>;
  addBulk(all: readonly Data[]): Promise<unknown>;
  startWorker(onJob: OnJob): Promise<{ close(): Promise<void> }>;
  close(): Promise<void>;
}

export const openRawBullmq = (postgresUrl: string, redisUrl: string | undefined): RawBullmq => {
  const redis = redisUrl === undefined ? undefined : new Redis(redisUrl, { maxRetriesPerRequest: null });
  const pool = redis
    ? undefined
    : new Pool({ connectionString: postgresUrl, max: 20, options: '-c search_path=bullmq' }).setMaxListeners(0);
  const queue = redis
    ? new Queue<Data>('raw', { connection: redis })
    : new postgres.Queue<Data>('raw', { connection: pool as never });
  return {
    add: (data) => queue.add('job', data, options),
    addBulk: (all) => queue.addBulk(all.map((data) => ({ name: 'job', data, opts: options }))),
    startWorker: async (onJob) => {
      const process = async (job: { readonly data: Data }): Promise<null> => {
        onJob(job.data.id);
        return null;
      };
      const worker = redis
        ? new Worker<Data>('raw', process, { connection: redis, concurrency })
        : new postgres.Worker<Data>('raw', process, { connection: pool as never, concurrency });
      await worker.waitUntilReady();
      return worker;
    },
    close: async () => {
      await queue.close();
      redis?.disconnect();
      await pool?.end();
    },
  };
};
