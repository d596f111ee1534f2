import { createPostgresBackend, withBackend } from 'bullmq';
import type { Log } from '../../lib/log/create-log.ts';
import { createPool } from '../../lib/postgres/pool.ts';
import {
  workerSettings,
  type BullConnection,
  type BullData,
  type BullQueue,
  type BullWorker,
} from './bull-connection.ts';
import { SharedListenPool } from './shared-listen-pool.ts';

const postgres = withBackend(createPostgresBackend);
const poolSize = 8;

/** BullMQ's tables lie in the schema `bullmq`; what they hold can't be lost apart from the ledger, so the epoch never changes. */
export const connectBullOnPostgres = (directUrl: string, log: Log): BullConnection => {
  const pool = new SharedListenPool(
    createPool(
      {
        url: directUrl,
        max: poolSize,
        statementTimeoutMs: 60_000,
        applicationName: 'treadle:bullmq',
        settings: { search_path: 'bullmq', jit: 'off' },
      },
      log,
    ),
  );
  const connection = pool.asPgPool();

  const openQueue = (name: string): BullQueue => {
    const queue = new postgres.Queue<BullData, null>(name, { connection });
    queue.on('error', (error) => log.warn({ event: 'bullmq.queue-error', queue: name, err: error }));
    return queue as unknown as BullQueue;
  };

  const openWorker: BullConnection['openWorker'] = (name, processor, options): BullWorker => {
    const worker = new postgres.Worker<BullData, null>(name, processor, { connection, ...workerSettings(options) });
    worker.on('error', (error) => log.warn({ event: 'bullmq.worker-error', queue: name, err: error }));
    return worker as unknown as BullWorker;
  };

  return {
    backend: 'postgres',
    openQueue,
    openWorker,
    epoch: () => Promise.resolve('postgres'),
    outages: () => 0,
    close: () => pool.end(),
  };
};
