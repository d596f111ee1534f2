import { withTimeout } from '../batching/with-timeout.ts';
import type { Log } from '../log/create-log.ts';
import { connectRedis, type RedisAddress, type RedisClient } from './connect-redis.ts';

interface Listener {
  readonly hear: (message: string) => void;
  readonly onReconnect: () => void;
}

const patienceMs = 1_000;

/**
 * SUBSCRIBE for a whole process, on a connection of its own that is opened with the first channel. It is made again when it
 * breaks; messages in between are lost, and on a Cluster not every loss is noticed: whoever listens must look for itself then, and
 * now and then.
 */
export class RedisSubscription {
  readonly #address: RedisAddress;
  readonly #log: Log;
  readonly #listeners = new Map<string, Set<Listener>>();
  #opening: Promise<RedisClient> | undefined;
  #closed = false;

  constructor(address: RedisAddress, log: Log) {
    this.#address = address;
    this.#log = log;
  }

  /**
   * Calls `hear` for each message on `channel`, and `onReconnect` when the connection was made again. Resolves once Redis listens, or after a second: never fails, since a
   * channel that can't be had now is had when the connection is. Answers how to stop.
   */
  async listen(channel: string, hear: (message: string) => void, onReconnect: () => void): Promise<() => void> {
    const listener = { hear, onReconnect };
    const listeners = this.#listeners.get(channel) ?? new Set<Listener>();
    listeners.add(listener);
    this.#listeners.set(channel, listeners);
    if (listeners.size === 1) await this.#say('subscribe', channel);
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0 || this.#listeners.get(channel) !== listeners) return;
      this.#listeners.delete(channel);
      void this.#say('unsubscribe', channel);
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = await this.#opening?.catch(() => undefined);
    client?.disconnect();
  }

  async #say(what: 'subscribe' | 'unsubscribe', channel: string): Promise<void> {
    if (this.#closed) return;
    try {
      this.#opening ??= this.#open();
      const client = await this.#opening;
      // A connection that is being made takes all channels when it is ready.
      if (client.status !== 'ready') return await this.#untilReady(client);
      await withTimeout(client[what](channel), patienceMs, 'Redis');
    } catch (error) {
      this.#log.warn({ event: 'redis.not-subscribed', channel, err: error });
    }
  }

  async #open(): Promise<RedisClient> {
    const client = await connectRedis(this.#address, 'cache', this.#log);
    client.on('message', (channel: string, message: string) => {
      for (const listener of this.#listeners.get(channel) ?? []) listener.hear(message);
    });
    client.on('ready', () => void this.#subscribeAll(client));
    return client;
  }

  async #subscribeAll(client: RedisClient): Promise<void> {
    const channels = [...this.#listeners.keys()];
    if (channels.length === 0) return;
    try {
      await client.subscribe(...channels);
    } catch (error) {
      this.#log.warn({ event: 'redis.not-subscribed', channels: channels.length, err: error });
    }
    client.emit('treadle:subscribed');
    for (const listener of [...this.#listeners.values()].flatMap((all) => [...all])) listener.onReconnect();
  }

  async #untilReady(client: RedisClient): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    client.once('treadle:subscribed', resolve);
    try {
      await withTimeout(promise, patienceMs, 'the connection to Redis');
    } finally {
      client.off('treadle:subscribed', resolve);
    }
  }
}
