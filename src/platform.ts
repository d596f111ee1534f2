import { randomBytes } from 'node:crypto';
import os from 'node:os';
import type { Database } from './lib/postgres/open-database.ts';
import type { JobContract } from './queues/define-job.ts';
import type { QueueDefinition } from './queues/define-queue.ts';
import { DirectJobs } from './queues/bullmq/direct-jobs.ts';
import { createEnqueuer } from './queues/enqueue/create-enqueuer.ts';
import { observeEnqueuer } from './queues/enqueue/observed-enqueuer.ts';
import { JobMetrics } from './queues/job-metrics.ts';
import { JobAnnouncements } from './queues/jobs/job-announcements.ts';
import { ledgerMetrics } from './queues/jobs/ledger-metrics.ts';
import { LedgerDeadLetters } from './queues/jobs/ledger-dead-letters.ts';
import { LedgerJobStore } from './queues/jobs/ledger-job-store.ts';
import { LedgerQueueAdmin } from './queues/jobs/ledger-queue-admin.ts';
import { createLimitStore, type LimitStore } from './queues/limits/limit-store.ts';
import { checkSchema, migrateAll } from './queues/migrations/migrate-all.ts';
import { createScheduleStore } from './queues/schedules/schedule-store.ts';
import type { Config } from './lib/config/load-config.ts';
import { createAnalyticsStore } from './domain/analytics/create-analytics-store.ts';
import { SearchAnalyticsService } from './domain/analytics/search-analytics-service.ts';
import type { SagaDefinition } from './domain/sagas/define-saga.ts';
import { isSagaDefinition } from './domain/sagas/is-saga-definition.ts';
import { SagaService } from './domain/sagas/service.ts';
import { CollectionService } from './domain/knowledge/collection-service.ts';
import { KnowledgeService } from './domain/knowledge/service.ts';
import { TagService } from './domain/knowledge/tag-service.ts';
import type { CacheWarmingService } from './domain/caching/cache-warming-service.ts';
import { createCaching, type Caching } from './domain/caching/create-caching.ts';
import { createEmbedder } from './domain/embeddings/create-embedder.ts';
import { VectorDatabase } from './domain/embeddings/vector-database.ts';
import { CachedQueryVectors } from './domain/embeddings/query-vectors.ts';
import { EmbeddingService } from './domain/embeddings/embedding-service.ts';
import { createSearch, type Searching } from './domain/search/create-search.ts';
import type { DocumentKey } from './domain/search/indexes/index-source.ts';
import { syncDocument } from './jobs/search/contract.ts';
import { withTenants } from './queues/enqueue/with-tenants.ts';
import { importModule } from './queues/app-jobs/import-module.ts';
import { RoleService } from './domain/users/role-service.ts';
import { UserService } from './domain/users/service.ts';
import { createEventBus, type EventParts, type Events } from './domain/events/create-event-bus.ts';
import { DatabaseHealthCheck } from './domain/health/database-health-check.ts';
import { LinkRepository } from './domain/nodes/link-repository.ts';
import { NodeVectors } from './domain/nodes/node-vectors.ts';
import { NodeQueries } from './domain/nodes/node-queries.ts';
import { UnifiedNodeService } from './domain/nodes/unified-node-service.ts';
import { WorkspaceService } from './domain/workspaces/service.ts';
import { runSaga } from './jobs/sagas/contract.ts';
import { LoopWatch } from './lib/health/loop-watch.ts';
import type { Log } from './lib/log/create-log.ts';
import { Postgres } from './lib/postgres/postgres.ts';
import { QueryPatterns } from './lib/postgres/query-patterns/query-patterns.ts';
import type { Columns, TableDefinition } from './lib/postgres/query-patterns/table-definition.ts';
import type { Transaction } from './lib/postgres/transaction.ts';
import { createRemoteServices } from './lib/resilience/create-remote-services.ts';
import type { RemoteServices } from './lib/resilience/remote-services.ts';
import { Meter } from './lib/telemetry/meter.ts';
import { Subscription } from './lib/postgres/subscription.ts';
import { publishContracts, type JobRegistry } from './queues/job-registry.ts';
import { createKv, createKvServices, type KvServices } from './kv-services.ts';
import { cacheAddressOf, createCacheWarming } from './process-caches.ts';
import { createRegistry, loadJobs } from './process-jobs.ts';
import type { AppJobs } from './queues/app-jobs/define-jobs.ts';
import { Transports } from './queues/open-transports.ts';
import { Reconciler } from './queues/relay/reconciler.ts';
import { JobPayloads } from './queues/payloads/job-payloads.ts';
import { rotateEncryption, type Rotated } from './queues/payloads/rotate-encryption.ts';
import { createShowJob } from './queues/payloads/show-job.ts';
import type { DeadLetters, Enqueuer, JobStore, QueueAdmin, ScheduleStore } from './queues/ports.ts';

/** What a process of Treadle works with; built once by `createPlatform`, passed down as an argument. */
export interface Platform extends Searching, Events, KvServices, Omit<Caching, 'closeCaching'> {
  readonly config: Config;
  readonly log: Log;
  readonly postgres: Postgres;
  /** What is asked of nearly every table, for one from `defineTable`; in the transaction, if one is given. */
  queryPatterns<C extends Columns>(table: TableDefinition<C>, tx?: Transaction): QueryPatterns<C>;
  readonly subscription: Subscription;
  readonly enqueuer: Enqueuer;
  readonly jobs: JobStore;
  readonly queues: QueueAdmin;
  readonly limits: LimitStore;
  readonly deadLetters: DeadLetters;
  /** What was enqueued straight to a queue and is still there. */
  readonly directJobs: DirectJobs;
  readonly schedules: ScheduleStore;
  /** Payloads as handlers see them. */
  readonly payloads: JobPayloads;
  /** Encrypts again, under the first key, what was encrypted under others; see {@link rotateEncryption}. */
  rotateEncryption(signal: AbortSignal): Promise<Rotated>;
  readonly workspaces: WorkspaceService;
  readonly embeddings: EmbeddingService;
  /** Accepts a job for each document that Elasticsearch has refused, which tries again. */
  readonly keepRefused: (index: string, keys: readonly DocumentKey[]) => Promise<void>;
  readonly searchAnalytics: SearchAnalyticsService;
  readonly cacheWarming: CacheWarmingService;
  readonly users: UserService;
  readonly roles: RoleService;
  readonly knowledge: KnowledgeService;
  readonly tags: TagService;
  readonly collections: CollectionService;
  readonly databaseHealth: DatabaseHealthCheck;
  readonly nodes: UnifiedNodeService;
  readonly nodeLinks: LinkRepository;
  readonly nodeQueries: NodeQueries;
  readonly nodeVectors: NodeVectors;
  readonly vectors: VectorDatabase;
  readonly sagas: SagaService;
  /** The loops of this process, for /health/live. */
  readonly loops: LoopWatch;
  /** The metrics of this process, for /metrics. */
  readonly meter: Meter;
  readonly jobMetrics: JobMetrics;
  /** Names this process in the ledger and in logs: host, pid and a random part. */
  readonly processId: string;
  readonly registry: JobRegistry;
  /** What the modules of TREADLE_JOBS bring. */
  readonly app: AppJobs;
  readonly transports: Transports;
  /** Finds jobs that their queue has lost; see {@link Reconciler}. */
  reconciler(): Promise<Reconciler>;
  /** Closes everything in the reverse order of opening. */
  close(): Promise<void>;
}

export interface PlatformParts {
  readonly contracts?: readonly JobContract[];
  readonly queues?: readonly QueueDefinition[];
  readonly sagas?: readonly SagaDefinition[];
  /** Given by tests that move its clock. */
  readonly loops?: LoopWatch;
}

interface DomainParts extends EventParts {
  readonly config: Config;
  readonly remote: RemoteServices;
}

const createDomain = async ({ config, remote, ...parts }: DomainParts) => {
  const { postgres, subscription, meter, log } = parts;
  const redis = cacheAddressOf(config);
  const { closeEvents, ...events } = createEventBus(parts);
  const { closeCaching, ...caching } = createCaching({
    redis,
    postgres,
    subscription,
    meter,
    log,
    follow: (type, heard) => events.events.subscribe(type, heard),
  });
  const { workspaceCache: cache } = caching;
  const queryVectors = config.openai.apiKey === undefined ? undefined : new CachedQueryVectors(caching.cache);
  const embeddings = new EmbeddingService(postgres, createEmbedder(config, remote), log, queryVectors);
  const searching = await createSearch({ config, postgres, remote, embeddings, log, importModule, cache });
  const searchAnalytics = new SearchAnalyticsService({
    store: createAnalyticsStore(postgres, searching.elasticsearch, config),
    meter,
    log,
  });
  const vectors = new VectorDatabase(postgres, log);
  return {
    workspaces: new WorkspaceService({ postgres, log, cache }),
    users: new UserService({ postgres, log }),
    roles: new RoleService({ postgres }),
    knowledge: new KnowledgeService({ postgres, log, cache }),
    tags: new TagService({ postgres, cache }),
    collections: new CollectionService({ postgres, cache }),
    databaseHealth: new DatabaseHealthCheck({ postgres, log }),
    nodes: new UnifiedNodeService(postgres),
    nodeLinks: new LinkRepository(postgres.reader.db),
    nodeQueries: new NodeQueries(postgres),
    nodeVectors: new NodeVectors(vectors),
    vectors,
    embeddings,
    ...caching,
    ...searching,
    ...events,
    searchAnalytics,
    closeDomain: async () => {
      await closeEvents();
      await searchAnalytics.close();
      await embeddings.close();
      await searching.elasticsearch?.close();
      await closeCaching();
      await remote.close();
    },
  };
};

/** A saga and its job are written in one transaction. */
const createSagas = (
  postgres: Postgres,
  enqueuer: Enqueuer,
  { sagas = [] }: PlatformParts,
  app: AppJobs,
): SagaService =>
  new SagaService({
    postgres,
    definitions: [...sagas, ...app.sagas.filter(isSagaDefinition)],
    enqueue: async (tx, { sagaId, sagaName, workspaceId, attempts, timeoutMs }) => {
      const payload = { sagaId, ...(workspaceId === null ? {} : { workspaceId }) };
      const { id } = await enqueuer.enqueue(runSaga, payload, { tx, tags: [sagaName], attempts, timeoutMs });
      return id;
    },
  });

const openReconciler = async ({
  transports,
  jobs,
  ...parts
}: Pick<Platform, 'postgres' | 'transports' | 'jobs' | 'log'>): Promise<Reconciler> =>
  new Reconciler({
    ...parts,
    transports: await transports.all(),
    cancelChildren: (id) => jobs.cancelChildren(id),
  });

interface JobParts {
  readonly postgres: Postgres;
  readonly registry: JobRegistry;
  readonly transports: Transports;
  readonly announcements: JobAnnouncements;
  readonly log: Log;
}

const createJobs = ({ postgres, registry, transports, announcements, log }: JobParts) => {
  const payloads = new JobPayloads({ postgres, registry, log });
  const show = createShowJob(registry);
  return {
    enqueuer: createEnqueuer({
      postgres,
      registry,
      addDirectly: (queue, items) => transports.addDirectly(queue, items),
    }),
    jobs: new LedgerJobStore({ postgres, announcements, transports, payloads, show }),
    queues: new LedgerQueueAdmin({ postgres, registry, transports }),
    limits: createLimitStore(postgres, registry),
    deadLetters: new LedgerDeadLetters(postgres, show, (path) => registry.jobsHiding(path)),
    directJobs: new DirectJobs({ postgres, registry, transports, show }),
    schedules: createScheduleStore({ postgres, registry }),
    payloads,
    rotateEncryption: (signal: AbortSignal) => rotateEncryption(postgres, registry, signal),
  };
};

const createMeter = (postgres: Postgres, queues: QueueAdmin, log: Log): Meter => {
  const meter = new Meter(log);
  meter.addSource('postgres', () => postgres.metrics());
  meter.addSource('ledger', ledgerMetrics({ postgres, queues }));
  return meter;
};

const keepRefusedWith =
  (enqueuer: Enqueuer): Platform['keepRefused'] =>
  async (index, keys) => {
    const payloads = keys.map(({ workspaceId, id }) => ({ index, workspaceId, id }));
    for (const [part, options] of withTenants(payloads)) await enqueuer.enqueueMany(syncDocument, part, options);
  };

/**
 * Builds what a process needs, once. Brings the schema up to date where `config.migrate` is `auto`, and tells the
 * database which jobs there are.
 * @throws AppError CONFIGURATION_ERROR naming the module of TREADLE_JOBS that cannot be used; SCHEMA_MISMATCH when the schema is not the one of this code and may not be changed.
 */
export const createPlatform = async (
  config: Config,
  log: Log,
  database: Database,
  parts: PlatformParts = {},
): Promise<Platform> => {
  const app = await loadJobs(config);
  const registry = createRegistry(config, app, parts);
  // The embedded database has no other users than those who wait for this start.
  if (config.migrate === 'auto') await migrateAll(database.directUrl, log, { allowLocks: database.embedded });
  else await checkSchema(database.directUrl);
  const { url, directUrl } = database;
  const postgres = new Postgres({ ...config.database, url, directUrl, applicationName: 'treadle' }, log);
  await publishContracts(postgres, registry);
  const loops = parts.loops ?? new LoopWatch();
  const subscription = new Subscription(postgres, log, loops);
  const transports = new Transports({ config, postgres, registry, log });
  const announcements = new JobAnnouncements(subscription);
  const jobs = createJobs({ postgres, registry, transports, announcements, log });
  const meter = createMeter(postgres, jobs.queues, log);
  const jobMetrics = new JobMetrics(meter, registry);
  const remote = createRemoteServices(postgres, cacheAddressOf(config), { meter, log });
  const kv = createKv(postgres, config, log);
  const { closeKv, ...kept } = createKvServices(kv, subscription, log);
  const { closeDomain, ...domain } = await createDomain({ postgres, subscription, config, remote, loops, meter, log });
  const enqueuer = observeEnqueuer(jobs.enqueuer, jobMetrics);
  return {
    config,
    log,
    postgres,
    queryPatterns: (table, tx) => new QueryPatterns(tx ?? postgres, table),
    subscription,
    registry,
    app,
    transports,
    processId: `${os.hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`,
    ...jobs,
    enqueuer,
    ...domain,
    cacheWarming: createCacheWarming({ postgres, log, ...domain }, enqueuer),
    keepRefused: keepRefusedWith(enqueuer),
    sagas: createSagas(postgres, enqueuer, parts, app),
    ...kept,
    loops,
    meter,
    jobMetrics,
    reconciler: () => openReconciler({ postgres, transports, jobs: jobs.jobs, log }),
    close: async () => {
      domain.databaseHealth.stopContinuousCheck();
      await closeDomain();
      await closeKv();
      await announcements.close();
      await jobs.payloads.close();
      await transports.close();
      await subscription.close();
      await postgres.close();
    },
  };
};
