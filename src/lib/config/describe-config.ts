import type { Config, VariableName } from './load-config.ts';

/** Passwords stand between the colon and the last at sign of each of several URLs, and in parameters. */
const maskUrl = (url: string | undefined): string | undefined =>
  url?.replaceAll(/(\/\/[^:@/,]*):[^/,]*@/g, '$1:***@').replaceAll(/(password=)[^&]*/gi, '$1***');

const daysOf = (ms: number): string => `${Math.round((ms / 86_400_000) * 100) / 100}d`;
const sizeOf = (bytes: number | undefined): string => (bytes === undefined ? '' : `/${Math.round(bytes / 1_024)}KB`);
const listed = (values: readonly string[] | undefined): string | undefined => values?.join(',');

/** The variables in force, by name: the value given or the default, with passwords and keys masked; undefined: not set. */
export const describeConfig = (config: Config): Readonly<Record<VariableName, string | number | undefined>> => {
  const { database, redis, elasticsearch, http, retention } = config;
  return {
    DATABASE_URL: maskUrl(database.url),
    DATABASE_DIRECT_URL: maskUrl(database.directUrl),
    DATABASE_REPLICA_URL: maskUrl(database.replicaUrls.join(',') || undefined),
    DATABASE_POOL_SIZE: database.poolSize,
    DATABASE_STATEMENT_TIMEOUT_MS: database.statementTimeoutMs,
    REDIS_URL: maskUrl(redis.url),
    REDIS_CACHE_URL: maskUrl(redis.cacheUrl),
    REDIS_CA: redis.tls.ca,
    REDIS_CERT: redis.tls.cert,
    REDIS_KEY: redis.tls.key,
    ELASTICSEARCH_URL: maskUrl(elasticsearch?.url),
    ELASTICSEARCH_API_KEY: elasticsearch?.credentials && 'apiKey' in elasticsearch.credentials ? '***' : undefined,
    ELASTICSEARCH_USERNAME:
      elasticsearch?.credentials && 'username' in elasticsearch.credentials
        ? elasticsearch.credentials.username
        : undefined,
    ELASTICSEARCH_PASSWORD: elasticsearch?.credentials && 'password' in elasticsearch.credentials ? '***' : undefined,
    ELASTICSEARCH_CA: elasticsearch?.ca,
    ELASTICSEARCH_PREFIX: elasticsearch?.prefix || undefined,
    TREADLE_QUEUE_BACKEND: config.queueBackend,
    TREADLE_KV_BACKEND: config.kvBackend,
    OPENAI_API_KEY: config.openai.apiKey === undefined ? undefined : '***',
    OPENAI_BASE_URL: maskUrl(config.openai.baseUrl),
    OPENAI_REQUESTS_PER_MINUTE: config.openai.requestsPerMinute,
    TREADLE_EMBEDDING_MODEL: config.embedding.model,
    TREADLE_EMBEDDING_DIMENSIONS: config.embedding.dimensions,
    TREADLE_HOST: http.host,
    TREADLE_PORT: http.port,
    TREADLE_HEALTH_PORT: http.healthPort,
    TREADLE_DATA_DIR: config.dataDir,
    TREADLE_ROLES: listed(config.roles),
    TREADLE_QUEUES: listed(config.queues),
    TREADLE_CONCURRENCY: config.concurrency,
    TREADLE_JOBS: listed(config.jobs) || undefined,
    TREADLE_INDEXES: listed(config.indexes) || undefined,
    TREADLE_MIGRATE: config.migrate,
    TREADLE_RETENTION: [
      `completed=${daysOf(retention.completedMs)}${sizeOf(retention.completedBytes)}`,
      `dead=${daysOf(retention.deadMs)}${sizeOf(retention.deadBytes)}`,
      `events=${daysOf(retention.eventsMs)}`,
      `idempotency=${daysOf(retention.idempotencyKeysMs)}`,
    ].join(','),
    TREADLE_API_KEYS: listed(config.apiKeys.map(({ name, scopes }) => `${name}:***:${scopes.join('+')}`)) || undefined,
    TREADLE_ENCRYPTION_KEYS: listed(config.encryptionKeys.map(({ id }) => `${id}:***`)) || undefined,
    TREADLE_MAX_BODY_BYTES: http.maxBodyBytes,
    TREADLE_CACHE_WARM_ON_START: String(config.cacheWarmOnStart),
    TREADLE_SHUTDOWN_GRACE_MS: config.shutdownGraceMs,
    OTEL_EXPORTER_OTLP_ENDPOINT: maskUrl(config.tracing.endpoint),
    OTEL_SERVICE_NAME: config.tracing.serviceName,
    LOG_LEVEL: config.logLevel,
  };
};
