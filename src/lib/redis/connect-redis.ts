import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { AppError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import type { Log } from '../log/create-log.ts';
import { gatherWrites } from './gather-writes.ts';
import { parseRedisUrl, type RedisTarget } from './parse-redis-url.ts';

/**
 * `queue`: commands wait for Redis to come back. `blocking`: so do reads that wait for work. `cache`: commands fail soon,
 * and at once while there is no connection, because a cache may be without.
 */
export type RedisPurpose = 'queue' | 'blocking' | 'cache';
export type RedisClient = Redis | Cluster;

const startPatienceMs = 5_000;
const connectTimeoutMs = 5_000;

const retryDelayMs = (attempt: number): number =>
  Math.min(3_000, 50 * 2 ** Math.min(attempt, 6)) * (0.75 + Math.random() / 2);

const optionsFor = (purpose: RedisPurpose): RedisOptions => ({
  connectionName: `treadle:${purpose}`,
  connectTimeout: connectTimeoutMs,
  keepAlive: 10_000,
  retryStrategy: retryDelayMs,
  sentinelRetryStrategy: retryDelayMs,
  ...(purpose === 'cache'
    ? { maxRetriesPerRequest: 3, enableOfflineQueue: false }
    : { maxRetriesPerRequest: null, enableOfflineQueue: true }),
});

const create = async (target: RedisTarget, purpose: RedisPurpose): Promise<RedisClient> => {
  const { Cluster, Redis } = await import('ioredis');
  const options = { ...target.options, ...optionsFor(purpose) };
  if (target.kind !== 'cluster') {
    const client = new Redis(options);
    client.on('connect', () => gatherWrites(client.stream));
    return client;
  }
  const { enableOfflineQueue = true, ...redisOptions } = options;
  return new Cluster([...target.nodes], {
    redisOptions,
    enableOfflineQueue,
    clusterRetryStrategy: retryDelayMs,
    // Certificates name hosts, so with TLS the nodes' names must not be resolved before the connection is made.
    ...(redisOptions.tls ? { dnsLookup: (address, done) => done(null, address) } : {}),
  });
};

/** Logs the first error of each outage and its end, not every attempt in between. */
const logOutages = (client: RedisClient, purpose: RedisPurpose, hosts: string, log: Log): void => {
  let lastCode: string | undefined;
  client.on('error', (error: Error) => {
    const code = codeOf(error) ?? error.name;
    if (code !== lastCode) log.warn({ event: 'redis.connection-error', purpose, hosts, err: error });
    lastCode = code;
  });
  client.on('ready', () => {
    if (lastCode !== undefined) log.info({ event: 'redis.connected-again', purpose, hosts });
    lastCode = undefined;
  });
};

/** By the code that starts a reply of Redis (`WRONGPASS …`), or of the network. */
const problems: Readonly<Record<string, string>> = {
  NOAUTH: 'the server asks for a password',
  WRONGPASS: 'the server refuses the user name or password',
  ERR: 'the server refuses the connection (a database number it does not have, or a password it does not expect)',
  NOPERM: 'the user may not do what Treadle needs',
  ENOTFOUND: 'there is no such host',
};

const replyCode = (error: unknown): string =>
  codeOf(error) ?? (error instanceof Error ? (error.message.split(' ', 1)[0] ?? '') : '');

const refusalOf = (hosts: string, error: unknown): AppError | undefined => {
  const message = problems[replyCode(error)];
  if (message === undefined) return undefined;
  return new AppError(
    'CONFIGURATION_ERROR',
    `REDIS_URL (${hosts}): ${message}`,
    { faults: [{ variable: 'REDIS_URL', message }] },
    { cause: error },
  );
};

/** Resolves with the first connection; rejects when the server refuses, or nobody answers for five seconds. */
const firstConnection = (client: RedisClient, hosts: string): Promise<void> =>
  new Promise((resolve, reject) => {
    let last: unknown;
    const settle = (error?: AppError): void => {
      clearTimeout(timer);
      client.off('ready', onReady);
      client.off('error', onError);
      if (error) reject(error);
      else resolve();
    };
    const onReady = (): void => settle();
    const onError = (error: unknown): void => {
      last = error;
      const refusal = refusalOf(hosts, error);
      if (refusal) settle(refusal);
    };
    const timer = setTimeout(() => {
      const code = codeOf(last);
      const reason = code === 'ECONNREFUSED' ? 'nothing listens there' : `no answer (${code ?? 'time-out'})`;
      settle(
        new AppError(
          'SERVICE_UNAVAILABLE',
          `REDIS_URL (${hosts}): ${reason}`,
          { service: 'redis', endpoint: hosts },
          { cause: last },
        ),
      );
    }, startPatienceMs);
    client.on('ready', onReady);
    client.on('error', onError);
  });

/**
 * A client for one purpose. It reconnects by itself and logs each outage once; the caller closes it. For a queue the
 * first connection is awaited; a cache is answered at once, connected or not.
 * @throws AppError CONFIGURATION_ERROR (host, password) or SERVICE_UNAVAILABLE, naming the host, never the password.
 */
export const connectRedis = async (url: string, purpose: RedisPurpose, log: Log): Promise<RedisClient> => {
  const target = parseRedisUrl(url);
  const client = await create(target, purpose);
  logOutages(client, purpose, target.hosts, log);
  if (purpose === 'cache') return client;
  try {
    await firstConnection(client, target.hosts);
    return client;
  } catch (error) {
    client.disconnect();
    throw error;
  }
};
