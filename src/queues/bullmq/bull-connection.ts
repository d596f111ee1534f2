import type { Job, Processor, Queue, Worker } from 'bullmq';
import type { Config } from '../../lib/config/load-config.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Envelope, QueueItem } from '../transport.ts';

/** The data of a BullMQ job: one job's, or a bundle's. */
export type BullData = Envelope | { readonly items: readonly QueueItem[] };
export type BullJob = Job<BullData, null>;
export type BullQueue = Queue<BullData, null>;
export type BullWorker = Worker<BullData, null>;

export interface BullWorkerOptions {
  readonly concurrency: number;
  readonly lockMs: number;
}

/** One process' way to BullMQ, whichever of its two backends is configured. */
export interface BullConnection {
  readonly backend: 'redis' | 'postgres';
  openQueue(name: string): BullQueue;
  openWorker(name: string, processor: Processor<BullData, null>, options: BullWorkerOptions): BullWorker;
  /** See {@link QueueTransport.epoch}. */
  epoch(queue: string): Promise<string>;
  /** See {@link QueueTransport.outages}. */
  outages(): number;
  /** Queues and workers are closed by those who opened them, before. */
  close(): Promise<void>;
}

/** Opens the backend that `config.queueBackend` names. `directUrl` bypasses pgbouncer. */
export const connectBull = async (config: Config, directUrl: string, log: Log): Promise<BullConnection> => {
  if (config.queueBackend === 'redis' && config.redis.url !== undefined) {
    const { connectBullOnRedis } = await import('./redis-backend.ts');
    return connectBullOnRedis({ variable: 'REDIS_URL', url: config.redis.url, tls: config.redis.tls }, log);
  }
  const { connectBullOnPostgres } = await import('./postgres-backend.ts');
  return connectBullOnPostgres(directUrl, log);
};

/**
 * Treadle's own settings of every worker. Locks are renewed by the consumer; BullMQ never fails a job for its stalls
 * (two kills would do), because the consumer counts them; after a restart of the server it looks again within half a second.
 */
export const workerSettings = ({ concurrency, lockMs }: BullWorkerOptions) => ({
  concurrency,
  lockDuration: lockMs,
  stalledInterval: Math.max(1_000, Math.round(lockMs / 2)),
  maxStalledCount: 1_000_000,
  skipLockRenewal: true,
  runRetryDelay: 500,
});
