import type { Pool } from 'pg';
import { z } from 'zod';
import { KeyRing } from '../lib/crypto/key-ring.ts';
import { AppError } from '../lib/errors/app-error.ts';
import { parseOrThrow } from '../lib/errors/zod-faults.ts';
import { loadConfig } from '../lib/config/load-config.ts';
import { createLog } from '../lib/log/create-log.ts';
import { Postgres } from '../lib/postgres/postgres.ts';
import { Subscription } from '../lib/postgres/subscription.ts';
import { builtInQueues, defineQueue, type QueueDefinition } from '../queues/define-queue.ts';
import { createEnqueuer } from '../queues/enqueue/create-enqueuer.ts';
import { JobAnnouncements } from '../queues/jobs/job-announcements.ts';
import { LedgerJobStore } from '../queues/jobs/ledger-job-store.ts';
import { JobRegistry } from '../queues/job-registry.ts';
import { Transports } from '../queues/open-transports.ts';
import { JobPayloads } from '../queues/payloads/job-payloads.ts';
import { createShowJob } from '../queues/payloads/show-job.ts';
import type { Enqueuer } from '../queues/ports.ts';
import { jobOf, jobRecord } from './job-of.ts';
import type { TreadleClient } from './treadle-client.ts';

export interface ConnectOptions {
  /** Treadle's database. May be left out with `pool`. */
  readonly databaseUrl?: string | undefined;
  /** The same around pgbouncer, for `wait`; needed where `databaseUrl` is pgbouncer's, and `databaseUrl` unless given. */
  readonly directUrl?: string | undefined;
  /** The app's own pool on that database; used instead of one of the client's, and left open. */
  readonly pool?: Pool | undefined;
  /** Of the client's own pool; 5 unless given. */
  readonly poolSize?: number | undefined;
  /**
   * As Treadle's REDIS_URL and TREADLE_QUEUE_BACKEND: needed for jobs whose durability is `queue`, and to take cancelled jobs
   * out of their queue; else a worker hears of it when it takes the job, and a short one may complete first.
   */
  readonly redisUrl?: string | undefined;
  readonly queueBackend?: 'redis' | 'postgres' | undefined;
  /** As Treadle's TREADLE_ENCRYPTION_KEYS: needed for jobs with encrypted fields. */
  readonly encryptionKeys?: string | undefined;
}

type Enqueueing = 'enqueue' | 'enqueueMany' | 'enqueueFlow';

/** A client beside Treadle's own database. With `tx`, an open transaction, a job exists if and only if that commits. */
export interface DatabaseClient extends Omit<TreadleClient, Enqueueing>, Pick<Enqueuer, Enqueueing> {}

const page = z.object({ limit: z.number().int().min(1).max(100).default(20), cursor: z.string().optional() });

/** Knows every queue by its name: what carries it matters only to those of Treadle itself. */
class AnyQueue extends JobRegistry {
  constructor(keys: KeyRing) {
    super([], builtInQueues, keys);
  }

  override queue(name: string): QueueDefinition {
    return this.queues.find((queue) => queue.name === name) ?? defineQueue({ name });
  }
}

const misconfigured = (message: string): AppError =>
  new AppError('CONFIGURATION_ERROR', `connectTreadle: ${message}`, {});

type Queues = Pick<Transports, 'of' | 'addDirectly' | 'close'>;

/** For clients that were not told where the queues are: the ledger does without. */
const noQueues: Queues = {
  of: (queue) => Promise.reject(misconfigured(`where the queue ${queue} lies needs redisUrl or queueBackend`)),
  addDirectly: (queue) =>
    Promise.reject(misconfigured(`jobs that go straight to their queue (${queue}) need redisUrl or queueBackend`)),
  close: () => Promise.resolve(),
};

const openParts = (options: ConnectOptions) => {
  const { pool, poolSize = 5, redisUrl, queueBackend } = options;
  const { databaseUrl = '' } = options;
  if (pool === undefined && databaseUrl === '') throw misconfigured('give databaseUrl or pool');
  const config = loadConfig({
    DATABASE_URL: databaseUrl,
    DATABASE_DIRECT_URL: options.directUrl,
    REDIS_URL: redisUrl,
    TREADLE_QUEUE_BACKEND: queueBackend,
    DATABASE_POOL_SIZE: String(poolSize),
    TREADLE_ENCRYPTION_KEYS: options.encryptionKeys,
  });
  if (queueBackend === 'postgres' && databaseUrl === '') throw misconfigured('queueBackend postgres needs databaseUrl');
  const log = createLog({ level: 'silent' });
  const { directUrl = '' } = config.database;
  const { statementTimeoutMs } = config.database;
  const postgres = new Postgres(
    { url: databaseUrl, directUrl, poolSize, statementTimeoutMs, applicationName: 'treadle-client', pool },
    log,
  );
  const registry = new AnyQueue(new KeyRing(config.encryptionKeys));
  const knowsQueues = redisUrl !== undefined || queueBackend !== undefined;
  const transports: Queues = knowsQueues ? new Transports({ config, postgres, registry, log }) : noQueues;
  const payloads = new JobPayloads({ postgres, registry, log });
  return { postgres, registry, transports, payloads, subscription: new Subscription(postgres, log) };
};

/**
 * A client straight to Treadle's database, at no cost beyond a row per job. It connects when it is first used.
 * @throws AppError CONFIGURATION_ERROR for options that are missing or wrong.
 */
export const connectTreadle = (options: ConnectOptions): DatabaseClient => {
  const { postgres, registry, transports, payloads: kept, subscription } = openParts(options);
  const announcements = new JobAnnouncements(subscription);
  const show = createShowJob(registry);
  const jobs = new LedgerJobStore({ postgres, announcements, transports, payloads: kept, show });
  const enqueuer = createEnqueuer({
    postgres,
    registry,
    addDirectly: (queue, items) => transports.addDirectly(queue, items),
  });
  return {
    enqueue: (contract, payload, given) => enqueuer.enqueue(contract, payload, given),
    enqueueMany: (contract, payloads, given) => enqueuer.enqueueMany(contract, payloads, given),
    enqueueFlow: (root, context) => enqueuer.enqueueFlow(root, context),
    find: async (contract, id) => {
      const record = await jobs.find(id);
      return record && jobOf(contract, jobRecord.parse(record));
    },
    wait: async (contract, id, { timeoutMs = 30_000, signal } = {}) => {
      const record = await jobs.wait(id, timeoutMs, signal);
      signal?.throwIfAborted();
      return record && jobOf(contract, jobRecord.parse(record));
    },
    list: async (filter = {}, request = {}) => {
      const { items, ...cursors } = await jobs.list(filter, parseOrThrow(page, request, 'the page'));
      return { items: items.map((record) => jobRecord.parse(record)), ...cursors };
    },
    cancel: async (id) => jobRecord.parse(await jobs.cancel(id)),
    retry: async (id) => jobRecord.parse(await jobs.retry(id)),
    promote: async (id) => jobRecord.parse(await jobs.promote(id)),
    close: async () => {
      await announcements.close();
      await transports.close();
      await subscription.close();
      await postgres.close();
    },
  };
};
