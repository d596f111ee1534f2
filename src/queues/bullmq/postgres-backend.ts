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
const poolSizes = { queues: 4, workers: 8 };

/**
 * BullMQ's tables lie in the schema `bullmq`; what they hold can't be lost apart from the ledger, so the epoch never changes.
 * What workers take and end is not waited for until it is on disk: if the server crashes within the second after, such a job is
 * given out once more, and may run while its first handler still does, as when a worker falls silent. The ledger ends it once.
 */
export const connectBullOnPostgres = (directUrl: string, log: Log): BullConnection => {
  const open = (max: number, settings: Readonly<Record<string, string>>): SharedListenPool =>
    new SharedListenPool(
      createPool(
        {
          url: directUrl,
          max,
          statementTimeoutMs: 60_000,
          applicationName: 'treadle:bullmq',
          settings: { search_path: 'bullmq', jit: 'off', ...settings },
        },
        log,
      ),
    );
  const ofQueues = open(poolSizes.queues, {});
  const ofWorkers = open(poolSizes.workers, { synchronous_commit: 'off', enable_seqscan: 'off' });

  const openQueue = (name: string): BullQueue => {
    const queue = new postgres.Queue<BullData, null>(name, { connection: ofQueues.asPgPool() });
    queue.on('error', (error) => log.warn({ event: 'bullmq.queue-error', queue: name, err: error }));
    return queue as unknown as BullQueue;
  };

  const openWorker: BullConnection['openWorker'] = (name, processor, options): BullWorker => {
    const worker = new postgres.Worker<BullData, null>(name, processor, {
      connection: ofWorkers.asPgPool(),
      ...workerSettings(options),
    });
    worker.on('error', (error) => log.warn({ event: 'bullmq.worker-error', queue: name, err: error }));
    return worker as unknown as BullWorker;
  };

  return {
    backend: 'postgres',
    openQueue,
    openWorker,
    epoch: () => Promise.resolve('postgres'),
    outages: () => 0,
    close: async () => {
      await Promise.all([ofQueues.end(), ofWorkers.end()]);
    },
  };
};
