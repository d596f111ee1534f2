import type { AppIndex } from '../domain/search/define-index.ts';
import type { Config } from '../lib/config/load-config.ts';
import { toAppError } from '../lib/errors/classify.ts';
import type { Log } from '../lib/log/create-log.ts';

export interface InstallationCheck {
  readonly name: string;
  /** `absent`: not configured, and not needed. `warning`: it works, and should not stay so. `unknown`: not one of Treadle's. */
  readonly status: 'ok' | 'warning' | 'absent' | 'unknown' | 'failed';
  readonly detail: string;
}

type Attempt = () => Promise<Pick<InstallationCheck, 'status' | 'detail'>>;

const attempt = async (name: string, work: Attempt): Promise<InstallationCheck> => {
  try {
    return { name, ...(await work()) };
  } catch (error) {
    return { name, status: 'failed', detail: toAppError(error).message };
  }
};

const ok = (detail: string): Pick<InstallationCheck, 'status' | 'detail'> => ({ status: 'ok', detail });
const absent = (detail: string): Pick<InstallationCheck, 'status' | 'detail'> => ({ status: 'absent', detail });

const checkSchemaAt = async (url: string): Promise<Pick<InstallationCheck, 'status' | 'detail'>> => {
  const { checkSchema } = await import('../queues/migrations/migrate-all.ts');
  await checkSchema(url);
  return ok('up to date');
};

const checkConfigured = async (config: Config, url: string): Promise<readonly InstallationCheck[]> => {
  const { checkConnection, checkReplicas } = await import('../lib/postgres/check-connection.ts');
  const { directUrl = url, replicaUrls } = config.database;
  const connect = (variable: string, address: string, direct: boolean): Promise<InstallationCheck> =>
    attempt(variable, async () => {
      await checkConnection(variable, address, { direct });
      return ok('connected');
    });
  const pooled = directUrl !== url;
  const checks = [await connect('DATABASE_URL', url, !pooled)];
  if (pooled) checks.push(await connect('DATABASE_DIRECT_URL', directUrl, true));
  if (replicaUrls.length > 0 && checks.every(({ status }) => status === 'ok')) {
    const follow = async (): Promise<Pick<InstallationCheck, 'status' | 'detail'>> => {
      await checkReplicas(replicaUrls, url);
      return ok(replicaUrls.length === 1 ? 'connected' : `${replicaUrls.length} connected`);
    };
    checks.push(await attempt('DATABASE_REPLICA_URL', follow));
  }
  if (checks.some((check) => check.status === 'failed')) return checks;
  return [...checks, await attempt('schema', () => checkSchemaAt(directUrl))];
};

const checkEmbedded = async (dataDir: string): Promise<readonly InstallationCheck[]> => {
  const { findServer } = await import('../lib/embedded/attach-to-server.ts');
  let url: string | undefined;
  const server = await attempt('embedded Postgres', async () => {
    url = await findServer(dataDir);
    return url === undefined
      ? absent(`not running in ${dataDir}; it is started when needed`)
      : ok(`running in ${dataDir}`);
  });
  const running = url;
  return running === undefined ? [server] : [server, await attempt('schema', () => checkSchemaAt(running))];
};

/** The check says itself what is wrong; outages are not to be logged beside it. */
const quietly = (log: Log): Log => (log.isLevelEnabled('debug') ? log : log.child({}, { level: 'silent' }));

const checkQueueRedis = (config: Config, log: Log): Promise<InstallationCheck> =>
  attempt('REDIS_URL', async () => {
    const { url, tls } = config.redis;
    if (url === undefined) return absent('queues run on Postgres');
    const { connectQueueRedis } = await import('../lib/redis/connect-redis.ts');
    const { evictionWarning } = await import('../lib/redis/examine-redis.ts');
    const { client, facts } = await connectQueueRedis({ variable: 'REDIS_URL', url, tls }, quietly(log));
    client.disconnect();
    const warning = config.queueBackend === 'redis' ? evictionWarning(facts) : undefined;
    return warning === undefined ? ok('connected') : { status: 'warning', detail: `connected, but ${warning}` };
  });

const checkCacheRedis = (config: Config, url: string, log: Log): Promise<InstallationCheck> =>
  attempt('REDIS_CACHE_URL', async () => {
    const { connectRedis } = await import('../lib/redis/connect-redis.ts');
    // As for a queue, so that the connection is waited for.
    const client = await connectRedis(
      { variable: 'REDIS_CACHE_URL', url, tls: config.redis.tls },
      'queue',
      quietly(log),
    );
    client.disconnect();
    return ok('connected');
  });

const checkJobs = (config: Config): Promise<InstallationCheck> =>
  attempt('TREADLE_JOBS', async () => {
    if (config.jobs.length === 0) return absent("only Treadle's own jobs");
    const { loadJobs } = await import('../process-jobs.ts');
    const { contracts, handlers, queues, schedules } = await loadJobs(config);
    return ok(
      `${contracts.length} jobs, ${handlers.length} handlers, ${queues.length} queues, ${schedules.length} schedules`,
    );
  });

/** That the modules load, and the tables are there. */
const checkIndexes = (config: Config): Promise<InstallationCheck> =>
  attempt('TREADLE_INDEXES', async () => {
    const { importModule } = await import('../queues/app-jobs/import-module.ts');
    const { loadIndexes } = await import('../domain/search/load-indexes.ts');
    const indexes = await loadIndexes(config.indexes, importModule);
    const url = config.database.directUrl ?? config.database.url;
    if (url !== undefined) await openSources(url, indexes);
    return ok(indexes.map(({ name, table }) => `${name} over ${table}`).join(', '));
  });

const openSources = async (url: string, indexes: readonly AppIndex[]): Promise<void> => {
  const { connectDirect } = await import('../lib/postgres/pool.ts');
  const { TableSource } = await import('../domain/search/indexes/table-source.ts');
  const client = await connectDirect(url, 'treadle:check');
  client.on('error', () => undefined);
  try {
    for (const index of indexes) await TableSource.open(client, index, { model: '', dimensions: 1 }, '');
  } finally {
    await client.end();
  }
};

/** That Elasticsearch answers, and that the database has what keeps its indexes true. */
const checkSearch = async (config: Config, log: Log): Promise<readonly InstallationCheck[]> => {
  const { elasticsearch } = config;
  const server = attempt('ELASTICSEARCH_URL', async () => {
    if (!elasticsearch) return absent('Postgres answers searches');
    const { probeElasticsearch } = await import('../lib/elasticsearch/probe-elasticsearch.ts');
    return ok(`connected, version ${await probeElasticsearch(elasticsearch, quietly(log))}`);
  });
  const url = config.database.directUrl ?? config.database.url;
  if (!elasticsearch || url === undefined) return [await server];
  const stream = attempt('change stream', async () => {
    const { checkStream } = await import('../lib/replication/check-stream.ts');
    await checkStream(url);
    return ok('possible');
  });
  return Promise.all([server, stream]);
};

/** Loads the app's jobs, connects to every server the configuration names, and changes nothing. Answers what was found, failures included. */
export const checkInstallation = async (config: Config, log: Log): Promise<readonly InstallationCheck[]> => {
  const { url } = config.database;
  const { cacheUrl } = config.redis;
  return [
    ...(url === undefined ? await checkEmbedded(config.dataDir) : await checkConfigured(config, url)),
    await checkJobs(config),
    ...(config.indexes.length === 0 ? [] : [await checkIndexes(config)]),
    ...(await checkSearch(config, log)),
    await checkQueueRedis(config, log),
    ...(cacheUrl === undefined || cacheUrl === config.redis.url ? [] : [await checkCacheRedis(config, cacheUrl, log)]),
    {
      name: 'embedder',
      status: 'ok',
      detail: config.openai.apiKey === undefined ? 'local (OPENAI_API_KEY is not set)' : config.embedding.model,
    },
  ];
};
