import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import type { Log } from '../../lib/log/create-log.ts';
import { connectRedis } from '../../lib/redis/connect-redis.ts';
import {
  workerSettings,
  type BullConnection,
  type BullData,
  type BullQueue,
  type BullWorker,
} from './bull-connection.ts';

/** The hash tag keeps all keys of a queue on one node of a Cluster, and spreads the queues over the nodes. */
const prefixOf = (queue: string): string => `{treadle:${queue}}`;

export const connectBullOnRedis = async (url: string, log: Log): Promise<BullConnection> => {
  const client = await connectRedis(url, 'queue', log);

  const openQueue = (name: string): BullQueue => {
    const queue = new Queue<BullData, null>(name, {
      connection: client,
      prefix: prefixOf(name),
      skipMetasUpdate: true,
    });
    queue.on('error', (error) => log.warn({ event: 'bullmq.queue-error', queue: name, err: error }));
    return queue;
  };

  const openWorker: BullConnection['openWorker'] = (name, processor, options): BullWorker => {
    const worker = new Worker<BullData, null>(name, processor, {
      connection: client,
      prefix: prefixOf(name),
      ...workerSettings(options),
    });
    worker.on('error', (error) => log.warn({ event: 'bullmq.worker-error', queue: name, err: error }));
    return worker;
  };

  const epoch = async (queue: string): Promise<string> => {
    const key = `${prefixOf(queue)}:epoch`;
    const known = await client.get(key);
    if (known !== null) return known;
    const fresh = randomUUID();
    return (await client.set(key, fresh, 'NX')) === 'OK' ? fresh : ((await client.get(key)) ?? fresh);
  };

  const close = async (): Promise<void> => {
    if (client.status === 'ready') await client.quit().catch(() => undefined);
    client.disconnect();
  };

  return { backend: 'redis', openQueue, openWorker, epoch, close };
};
