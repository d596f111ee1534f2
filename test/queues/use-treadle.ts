import { afterAll, beforeAll } from 'vitest';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import type { LoopWatch } from '../../src/lib/health/loop-watch.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../src/platform.ts';
import type { JobContract } from '../../src/queues/define-job.ts';
import type { QueueDefinition } from '../../src/queues/define-queue.ts';
import type { AnyHandler } from '../../src/queues/handle.ts';
import { startScheduler } from '../../src/workers/scheduler.ts';
import { startWorker } from '../../src/workers/worker.ts';
import type { RunningRole } from '../../src/workers/running-role.ts';
import type { SagaDefinition } from '../../src/domain/sagas/define-saga.ts';
import type { TestDatabase } from '../services/database.ts';
import type { TestRedis } from '../services/redis.ts';

export interface TreadleOptions {
  readonly database: Pick<TestDatabase, 'url'>;
  /** The database by way of pgbouncer. */
  readonly pooled?: { readonly url: string };
  /** Given: BullMQ on Redis; else on Postgres. */
  readonly redis?: Pick<TestRedis, 'url'>;
  readonly contracts: readonly JobContract[];
  readonly queues?: readonly QueueDefinition[];
  readonly handlers: readonly AnyHandler[];
  readonly sagas?: readonly SagaDefinition[];
  readonly env?: Readonly<Record<string, string>>;
  readonly loops?: LoopWatch;
}

export interface TestTreadle {
  readonly platform: Platform;
  /** Starts a second worker and closes the first. */
  replaceWorker(): Promise<void>;
}

/** A worker and a scheduler in this process, over the given servers, from beforeAll to afterAll. */
export const useTreadle = (options: TreadleOptions): TestTreadle => {
  let platform: Platform | undefined;
  let scheduler: RunningRole | undefined;
  let worker: RunningRole | undefined;
  const current = (): Platform => {
    if (!platform) throw new Error('the platform exists from beforeAll to afterAll');
    return platform;
  };
  const openWorker = (): Promise<RunningRole> => startWorker(current(), { handlers: options.handlers });
  beforeAll(async () => {
    const { url: directUrl } = options.database;
    const { url } = options.pooled ?? options.database;
    const config = loadConfig({
      DATABASE_URL: url,
      DATABASE_DIRECT_URL: directUrl,
      TREADLE_SHUTDOWN_GRACE_MS: '3000',
      LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
      ...(options.redis ? { REDIS_URL: options.redis.url } : {}),
      ...options.env,
    });
    const log = createLog({ level: config.logLevel });
    const database = { url, directUrl, embedded: false, close: () => Promise.resolve() };
    platform = await createPlatform(config, log, database, {
      contracts: options.contracts,
      queues: options.queues ?? [],
      sagas: options.sagas ?? [],
      ...(options.loops ? { loops: options.loops } : {}),
    });
    scheduler = await startScheduler(platform, { schedules: [] });
    worker = await openWorker();
  });
  afterAll(async () => {
    await worker?.close();
    await scheduler?.close();
    await platform?.close();
  });
  return {
    get platform() {
      return current();
    },
    replaceWorker: async () => {
      const before = worker;
      worker = await openWorker();
      await before?.close();
    },
  };
};
