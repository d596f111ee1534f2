import { Deadlines } from '../batching/deadlines.ts';
import { withTimeout } from '../batching/with-timeout.ts';
import { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import { connectRedis, type RedisAddress, type RedisClient } from './connect-redis.ts';
import { RedisSubscription } from './redis-subscription.ts';

const patienceMs = 1_000;

const untilReady = async (client: RedisClient): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  client.once('ready', resolve);
  try {
    await withTimeout(promise, patienceMs, 'the connection to Redis');
  } finally {
    client.off('ready', resolve);
  }
};

/**
 * A connection that fails soon, shared by what keeps things in Redis and opened with the first call. It reconnects by
 * itself.
 */
export class RedisConnection {
  /** To the same servers, on a connection of its own. */
  readonly subscription: RedisSubscription;
  /** Of commands. */
  readonly deadlines = new Deadlines();
  readonly #address: RedisAddress;
  readonly #log: Log;
  #opening: Promise<RedisClient> | undefined;
  #client: RedisClient | undefined;
  /** One wait for all who ask meanwhile. */
  #waiting: Promise<void> | undefined;
  #closed = false;

  constructor(address: RedisAddress, log: Log) {
    this.#address = address;
    this.#log = log;
    this.subscription = new RedisSubscription(address, log);
  }

  /** The client, if it is connected now. */
  get ready(): RedisClient | undefined {
    return this.#client?.status === 'ready' && !this.#closed ? this.#client : undefined;
  }

  /**
   * The client, connected: waited for up to a second.
   * @throws AppError SERVICE_UNAVAILABLE while Redis can't be reached, or after {@link close}; CONFIGURATION_ERROR for TLS
   * files that can't be read.
   */
  async client(): Promise<RedisClient> {
    if (this.#closed) throw this.#unavailable(undefined);
    this.#opening ??= connectRedis(this.#address, 'cache', this.#log).catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    const client = await this.#opening;
    this.#client = client;
    if (client.status === 'ready') return client;
    this.#waiting ??= untilReady(client).finally(() => {
      this.#waiting = undefined;
    });
    try {
      await this.#waiting;
    } catch (error) {
      throw this.#unavailable(error);
    }
    return client;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.subscription.close();
    const client = await this.#opening?.catch(() => undefined);
    client?.disconnect();
  }

  #unavailable(cause: unknown): AppError {
    return new AppError('SERVICE_UNAVAILABLE', 'Redis cannot be reached', { service: 'redis' }, { cause });
  }
}
