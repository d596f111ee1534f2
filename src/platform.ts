import { randomBytes } from 'node:crypto';
import os from 'node:os';
import { builtInContracts } from './jobs/built-in-jobs.ts';
import type { Database } from './lib/postgres/open-database.ts';
import type { JobContract } from './queues/define-job.ts';
import { builtInQueues, type QueueDefinition } from './queues/define-queue.ts';
import { DirectJobs } from './queues/bullmq/direct-jobs.ts';
import { createEnqueuer } from './queues/enqueue/create-enqueuer.ts';
import { JobAnnouncements } from './queues/jobs/job-announcements.ts';
import { LedgerDeadLetters } from './queues/jobs/ledger-dead-letters.ts';
import { LedgerJobStore } from './queues/jobs/ledger-job-store.ts';
import { LedgerQueueAdmin } from './queues/jobs/ledger-queue-admin.ts';
import { checkSchema, migrateAll } from './queues/migrations/migrate-all.ts';
import { createScheduleStore } from './queues/schedules/schedule-store.ts';
import type { Config } from './lib/config/load-config.ts';
import { KnowledgeService } from './domain/knowledge/service.ts';
import { createEmbedder } from './domain/embeddings/create-embedder.ts';
import { EmbeddingService } from './domain/embeddings/embedding-service.ts';
import { PostgresSearch } from './domain/search/postgres/postgres-search.ts';
import { SearchService } from './domain/search/search-service.ts';
import { UserService } from './domain/users/service.ts';
import { WorkspaceService } from './domain/workspaces/service.ts';
import { LoopWatch } from './lib/health/loop-watch.ts';
import type { Log } from './lib/log/create-log.ts';
import { Postgres } from './lib/postgres/postgres.ts';
import { Subscription } from './lib/postgres/subscription.ts';
import { JobRegistry, publishContracts } from './queues/job-registry.ts';
import { Transports } from './queues/open-transports.ts';
import { Reconciler } from './queues/relay/reconciler.ts';
import type { DeadLetters, Enqueuer, JobStore, QueueAdmin, ScheduleStore } from './queues/ports.ts';

/** What a process of Treadle works with; built once by `createPlatform`, passed down as an argument. */
export interface Platform {
  readonly config: Config;
  readonly log: Log;
  readonly postgres: Postgres;
  readonly subscription: Subscription;
  readonly enqueuer: Enqueuer;
  readonly jobs: JobStore;
  readonly queues: QueueAdmin;
  readonly deadLetters: DeadLetters;
  /** What was enqueued straight to a queue and is still there. */
  readonly directJobs: DirectJobs;
  readonly schedules: ScheduleStore;
  readonly workspaces: WorkspaceService;
  readonly embeddings: EmbeddingService;
  readonly search: SearchService;
  readonly users: UserService;
  readonly knowledge: KnowledgeService;
  /** The loops of this process, for /health/live. */
  readonly loops: LoopWatch;
  /** Names this process in the ledger and in logs: host, pid and a random part. */
  readonly processId: string;
  readonly registry: JobRegistry;
  readonly transports: Transports;
  /** Finds jobs that their queue has lost; see {@link Reconciler}. */
  reconciler(): Promise<Reconciler>;
  /** Closes everything in the reverse order of opening. */
  close(): Promise<void>;
}

export interface PlatformParts {
  readonly contracts?: readonly JobContract[];
  readonly queues?: readonly QueueDefinition[];
}

const createDomain = (postgres: Postgres, config: Config, log: Log) => {
  const embeddings = new EmbeddingService(postgres, createEmbedder(config), log);
  return {
    workspaces: new WorkspaceService({ postgres, log }),
    users: new UserService({ postgres, log }),
    knowledge: new KnowledgeService({ postgres, log }),
    embeddings,
    search: new SearchService({ backend: new PostgresSearch(postgres), embedder: embeddings, log }),
  };
};

/**
 * Builds what a process needs, once. Brings the schema up to date where `config.migrate` is `auto`, and tells the
 * database which jobs there are.
 * @throws AppError SCHEMA_MISMATCH when the schema is not the one of this code and may not be changed.
 */
export const createPlatform = async (
  config: Config,
  log: Log,
  database: Database,
  parts: PlatformParts = {},
): Promise<Platform> => {
  const registry = new JobRegistry(
    [...builtInContracts, ...(parts.contracts ?? [])],
    [...builtInQueues, ...(parts.queues ?? [])],
  );
  if (config.migrate === 'auto') await migrateAll(database.directUrl, log);
  else await checkSchema(database.directUrl);
  const postgres = new Postgres(
    {
      url: database.url,
      directUrl: database.directUrl,
      poolSize: config.database.poolSize,
      statementTimeoutMs: config.database.statementTimeoutMs,
      applicationName: 'treadle',
    },
    log,
  );
  await publishContracts(postgres, registry);
  const subscription = new Subscription(postgres, log);
  const transports = new Transports({ config, postgres, registry, log });
  const announcements = new JobAnnouncements(subscription);
  const domain = createDomain(postgres, config, log);
  return {
    config,
    log,
    postgres,
    subscription,
    registry,
    transports,
    processId: `${os.hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`,
    enqueuer: createEnqueuer({
      postgres,
      registry,
      addDirectly: (queue, items) => transports.addDirectly(queue, items),
    }),
    jobs: new LedgerJobStore({ postgres, announcements, transports }),
    queues: new LedgerQueueAdmin({ postgres, registry, transports }),
    deadLetters: new LedgerDeadLetters(postgres),
    directJobs: new DirectJobs({ postgres, registry, transports }),
    schedules: createScheduleStore({ postgres, findContract: (name) => registry.find(name) }),
    ...domain,
    loops: new LoopWatch(),
    reconciler: async () => new Reconciler(postgres, await transports.all(), log),
    close: async () => {
      await domain.embeddings.close();
      await announcements.close();
      await transports.close();
      await subscription.close();
      await postgres.close();
    },
  };
};
