import { withTimeout } from '../../batching/with-timeout.ts';
import type { Log } from '../../log/create-log.ts';
import { connectRedis, type RedisAddress, type RedisClient } from '../../redis/connect-redis.ts';
import type { RedisConnection } from '../../redis/redis-connection.ts';
import { toRedisText } from '../cache-text.ts';
import type { BusListener, CacheBus } from './cache-bus.ts';

export interface RedisBusParts {
  /** Of the connection that listens: one that does can do nothing else. */
  readonly address: RedisAddress;
  /** For sending. */
  readonly connection: RedisConnection;
  readonly prefix: string;
  readonly log: Log;
}

const retryMs = 1_000;
/** A Redis that stands still is not waited for longer. */
const publishTimeoutMs = 1_000;

/** The publish and subscribe of Redis; in a Cluster every node tells all others. */
export class RedisBus implements CacheBus {
  readonly kind = 'redis';
  readonly maxBytes = 1_000_000;
  readonly #parts: RedisBusParts;
  readonly #channel: string;
  #opening: Promise<void> | undefined;
  #client: RedisClient | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: RedisBusParts) {
    this.#parts = parts;
    this.#channel = `{treadle:cache:${toRedisText(parts.prefix)}}`;
  }

  start(listener: BusListener): void {
    this.#opening ??= this.#open(listener);
  }

  async publish(text: string): Promise<void> {
    const client = await this.#parts.connection.client();
    await withTimeout(client.publish(this.#channel, text), publishTimeoutMs, 'Redis');
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#opening?.catch(() => undefined);
    this.#client?.disconnect();
  }

  async #open(listener: BusListener): Promise<void> {
    const { address, log } = this.#parts;
    try {
      const client = await connectRedis(address, 'cache', log);
      this.#client = client;
      client.on('message', (channel: string, text: string) => {
        if (channel === this.#channel) listener.message(text);
      });
      for (const gone of ['close', 'end', '-subscriber', '-node']) client.on(gone, listener.lost);
      const listen = (): void => void this.#listen(client, listener);
      // On a Cluster the client subscribes again by itself, and is only asked once more.
      for (const here of ['ready', '+subscriber', 'subscribersReady']) client.on(here, listen);
      if (client.status === 'ready') listen();
    } catch (error) {
      log.warn({ event: 'cache.bus-not-opened', err: error });
      this.#opening = undefined;
      if (!this.#closed) this.#retry = setTimeout(() => this.start(listener), retryMs).unref();
    }
  }

  async #listen(client: RedisClient, listener: BusListener): Promise<void> {
    try {
      await client.subscribe(this.#channel);
      listener.back();
    } catch (error) {
      if (this.#closed) return;
      this.#parts.log.warn({ event: 'cache.bus-not-heard', err: error });
      this.#retry = setTimeout(() => {
        if (client.status === 'ready') void this.#listen(client, listener);
      }, retryMs).unref();
    }
  }
}
