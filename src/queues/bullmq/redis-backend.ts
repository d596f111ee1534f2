import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import type { Cluster, Redis } from 'ioredis';
import { isConnectionError } from '../../lib/errors/classify.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { connectQueueRedis, type RedisAddress, type RedisClient } from '../../lib/redis/connect-redis.ts';
import { evictionWarning } from '../../lib/redis/examine-redis.ts';
import {
  workerSettings,
  type BullConnection,
  type BullData,
  type BullQueue,
  type BullWorker,
} from './bull-connection.ts';

/** The hash tag keeps all keys of a queue on one node of a Cluster, and spreads the queues over the nodes. */
const prefixOf = (queue: string): string => `{treadle:${queue}}`;

/**
 * Connections of a Cluster's client, and of those that BullMQ makes of it, one for each worker. After a failover some of them
 * stay open when the client is closed: nobody knows them any more.
 */
const connectionsOf = (client: RedisClient): ReadonlySet<RedisClient> => {
  const open = new Set<RedisClient>();
  const watch = (one: RedisClient): void => {
    open.add(one);
    one.once('end', () => open.delete(one));
  };
  if (!('nodes' in client)) return open;
  for (const node of client.nodes()) watch(node);
  client.on('+node', watch);
  const duplicate = client.duplicate.bind(client);
  Object.assign(client, {
    duplicate: (...args: Parameters<typeof duplicate>): Cluster => {
      const one = duplicate(...args);
      open.add(one);
      one.on('+node', watch);
      return one;
    },
  });
  return open;
};

export const connectBullOnRedis = async (address: RedisAddress, log: Log): Promise<BullConnection> => {
  const { client, facts } = await connectQueueRedis(address, log);
  const connections = connectionsOf(client);
  const warning = evictionWarning(facts);
  if (warning !== undefined) log.warn({ event: 'redis.may-evict', variable: address.variable }, warning);
  // BullMQ would write the same to the terminal for each of its connections, and fail where INFO is forbidden.
  const skipVersionCheck = warning !== undefined;

  /** Of an outage every queue and worker hears, and the client logs it once. */
  const logError = (event: string, queue: string, error: Error): void =>
    log[isConnectionError(error) ? 'debug' : 'warn']({ event, queue, err: error });

  const openQueue = (name: string): BullQueue => {
    const queue = new Queue<BullData, null>(name, {
      connection: client,
      prefix: prefixOf(name),
      skipMetasUpdate: true,
      skipVersionCheck,
    });
    queue.on('error', (error) => logError('bullmq.queue-error', name, error));
    return queue;
  };

  const openWorker: BullConnection['openWorker'] = (name, processor, options): BullWorker => {
    const worker = new Worker<BullData, null>(name, processor, {
      connection: client,
      prefix: prefixOf(name),
      skipVersionCheck,
      ...workerSettings(options),
    });
    worker.on('error', (error) => logError('bullmq.worker-error', name, error));
    return worker;
  };

  const epoch = async (queue: string): Promise<string> => {
    const key = `${prefixOf(queue)}:epoch`;
    const known = await client.get(key);
    if (known !== null) return known;
    const fresh = randomUUID();
    return (await client.set(key, fresh, 'NX')) === 'OK' ? fresh : ((await client.get(key)) ?? fresh);
  };

  // A node of a Cluster says so by itself; its first connection counts, too, which does no harm.
  let outages = 0;
  const countOutage = (): void => {
    outages += 1;
  };
  client.on('ready', countOutage);
  if ('nodes' in client) {
    // A replica is known from the start, and connected to when it becomes the master.
    for (const node of client.nodes()) node.on('ready', countOutage);
    client.on('+node', (node: Redis) => node.on('ready', countOutage));
  }

  const close = async (): Promise<void> => {
    if (client.status === 'ready') await client.quit().catch(() => undefined);
    client.disconnect();
    for (const connection of connections) connection.disconnect();
  };

  return { backend: 'redis', openQueue, openWorker, epoch, outages: () => outages, close };
};
