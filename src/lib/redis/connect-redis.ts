import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { isRedisMoving, redisCodeOf, codeOf } from '../errors/classify.ts';
import type { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import { examineRedis, type RedisFacts } from './examine-redis.ts';
import { gatherWrites } from './gather-writes.ts';
import { parseRedisUrl, type RedisTarget } from './parse-redis-url.ts';
import { explainSilence, refusalOf, wrongKind, type RedisVariable } from './redis-refusal.ts';
import { readTlsOptions, type RedisTlsFiles } from './tls-options.ts';
import { watchConnection } from './watch-connection.ts';

/**
 * `queue`: commands wait for Redis to come back. `cache`: commands fail soon, and at once while there is no connection,
 * because a cache may be without.
 */
export type RedisPurpose = 'queue' | 'cache';
export type RedisClient = Redis | Cluster;

/** Where a Redis is, as the configuration says it. */
export interface RedisAddress {
  readonly variable: RedisVariable;
  readonly url: string;
  readonly tls: RedisTlsFiles;
}

const startPatienceMs = 5_000;
const connectTimeoutMs = 5_000;
/** A tenth of a second passes between two tries while a Cluster has no master for a slot. */
const patientRedirections = 100;

const retryDelayMs = (attempt: number): number =>
  Math.min(3_000, 50 * 2 ** Math.min(attempt, 6)) * (0.75 + Math.random() / 2);

const optionsFor = (purpose: RedisPurpose): RedisOptions => ({
  connectionName: `treadle:${purpose}`,
  connectTimeout: connectTimeoutMs,
  keepAlive: 10_000,
  // Whoever subscribes does so again by himself: when a connection ends while the client does, nobody would catch its error.
  autoResubscribe: false,
  retryStrategy: retryDelayMs,
  sentinelRetryStrategy: retryDelayMs,
  // A server that became a replica, or loads its data, is left; the command goes to whoever is found instead.
  reconnectOnError: (error) => (isRedisMoving(error) ? 2 : false),
  ...(purpose === 'cache'
    ? { maxRetriesPerRequest: 3, enableOfflineQueue: false }
    : { maxRetriesPerRequest: null, enableOfflineQueue: true }),
});

const preparing =
  (purpose: RedisPurpose) =>
  (client: Redis): void => {
    client.on('connect', () => gatherWrites(client.stream, { growing: purpose === 'cache' }));
    watchConnection(client);
  };

const createCluster = async (target: RedisTarget, options: RedisOptions, purpose: RedisPurpose): Promise<Cluster> => {
  const { Cluster } = await import('ioredis');
  const { enableOfflineQueue = true, reconnectOnError: _ofSingleServers, ...redisOptions } = options;
  const cluster = new Cluster([...target.addresses], {
    redisOptions,
    enableOfflineQueue,
    clusterRetryStrategy: retryDelayMs,
    slotsRefreshTimeout: connectTimeoutMs,
    ...(purpose === 'queue' ? { maxRedirections: patientRedirections } : {}),
    // Certificates name hosts, so with TLS the nodes' names must not be resolved before the connection is made.
    ...(redisOptions.tls ? { dnsLookup: (address, done) => done(null, address) } : {}),
  });
  cluster.on('+node', preparing(purpose));
  return cluster;
};

const createClient = async (
  target: RedisTarget,
  options: RedisOptions,
  purpose: RedisPurpose,
): Promise<RedisClient> => {
  if (target.kind === 'cluster') return createCluster(target, options, purpose);
  const { Redis } = await import('ioredis');
  const client = new Redis(options);
  preparing(purpose)(client);
  return client;
};

/** Logs each kind of error once an outage, and the end of the outage, not every attempt in between. */
const logOutages = (client: RedisClient, purpose: RedisPurpose, hosts: string, log: Log): void => {
  const logged = new Set<string>();
  client.on('error', (error: Error) => {
    const code = codeOf(error) ?? redisCodeOf(error) ?? error.name;
    if (!logged.has(code)) log.warn({ event: 'redis.connection-error', purpose, hosts, err: error });
    logged.add(code);
  });
  client.on('ready', () => {
    if (logged.size > 0) log.info({ event: 'redis.connected-again', purpose, hosts });
    logged.clear();
  });
};

interface Patience {
  /** What the error says that no patience mends. */
  readonly refusal: (error: unknown) => AppError | undefined;
  /** Asks the servers, where the client keeps their errors to itself; may answer that nobody can be reached. */
  readonly explain: (last: unknown) => Promise<AppError>;
}

/** Resolves with the first connection; rejects when the server refuses, or nobody answers for five seconds. */
const firstConnection = (client: RedisClient, { refusal, explain }: Patience): Promise<void> =>
  new Promise((resolve, reject) => {
    let last: unknown;
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      client.off('ready', onReady);
      client.off('error', onError);
      act();
    };
    const onReady = (): void => settle(resolve);
    const onError = (error: unknown): void => {
      const isFirst = last === undefined;
      last = error;
      const refused = refusal(error);
      if (refused) settle(() => reject(refused));
      else if (isFirst) void askAtOnce(error);
    };
    const askAtOnce = async (error: unknown): Promise<void> => {
      const found = await explain(error);
      if (found.code === 'CONFIGURATION_ERROR') settle(() => reject(found));
    };
    const timer = setTimeout(() => settle(() => void explain(last).then(reject, reject)), startPatienceMs);
    client.on('ready', onReady);
    client.on('error', onError);
  });

const tlsOf = async (target: RedisTarget, files: RedisTlsFiles): Promise<RedisOptions> => {
  if (!target.secure) return {};
  const tls = await readTlsOptions(files);
  return target.kind === 'sentinel' ? { tls, sentinelTLS: tls, enableTLSForSentinelMode: true } : { tls };
};

/**
 * A client for one purpose. It reconnects by itself, after a failover to the new master, and logs each outage once; the
 * caller closes it. For a queue the first connection is awaited; a cache is answered at once, connected or not.
 * @throws AppError CONFIGURATION_ERROR (host, password, certificate) or SERVICE_UNAVAILABLE, naming the variable and the
 * host, never the password.
 */
export const connectRedis = async (address: RedisAddress, purpose: RedisPurpose, log: Log): Promise<RedisClient> => {
  const { variable } = address;
  const target = parseRedisUrl(address.url);
  const options = { ...target.options, ...(await tlsOf(target, address.tls)), ...optionsFor(purpose) };
  const client = await createClient(target, options, purpose);
  logOutages(client, purpose, target.hosts, log);
  if (purpose === 'cache') return client;
  try {
    await firstConnection(client, {
      refusal: (error) => refusalOf(variable, target.hosts, error),
      explain: (last) => explainSilence(variable, target, options, last),
    });
    return client;
  } catch (error) {
    client.disconnect();
    throw error;
  }
};

/**
 * A client for queues, and what its servers say about themselves.
 * @throws AppError as {@link connectRedis} does, and CONFIGURATION_ERROR for one server that is a node of a Cluster or a
 * read-only replica.
 */
export const connectQueueRedis = async (
  address: RedisAddress,
  log: Log,
): Promise<{ readonly client: RedisClient; readonly facts: RedisFacts }> => {
  const client = await connectRedis(address, 'queue', log);
  try {
    const facts = await examineRedis(client);
    const { kind, hosts } = parseRedisUrl(address.url);
    if (kind !== 'cluster' && facts.isClusterNode)
      throw wrongKind(address.variable, hosts, 'the server is a node of a Cluster: name several nodes, with commas');
    if (kind === 'single' && facts.isReadOnly)
      throw wrongKind(address.variable, hosts, 'the server is a read-only replica: name the master');
    return { client, facts };
  } catch (error) {
    client.disconnect();
    throw error;
  }
};
