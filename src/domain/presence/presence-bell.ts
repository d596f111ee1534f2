import type { Kv } from '../../lib/kv/kv.ts';
import type { RedisConnection } from '../../lib/redis/redis-connection.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import { presenceChannel } from './redis-presence-store.ts';

/** Rings when something happened in a document, in whichever process. It may stay silent: whoever waits looks now and then. */
export interface PresenceBell {
  /** Answers how to stop. */
  listen(documentId: string, ring: () => void): Promise<() => Promise<void>>;
}

/** By NOTIFY: one channel for all documents, which a process hears once. */
class PostgresBell implements PresenceBell {
  readonly #subscription: Subscription;

  constructor(subscription: Subscription) {
    this.#subscription = subscription;
  }

  listen(documentId: string, ring: () => void): Promise<() => Promise<void>> {
    const hear = (payload: string): void => {
      if (payload === documentId) ring();
    };
    return this.#subscription.listen('treadle_presence', hear, ring);
  }
}

/** By Redis' PUBLISH, a channel for each document. */
class RedisBell implements PresenceBell {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  async listen(documentId: string, ring: () => void): Promise<() => Promise<void>> {
    const stop = await this.#redis.subscription.listen(presenceChannel(documentId), ring, ring);
    return () => Promise.resolve(stop());
  }
}

export const createPresenceBell = (kv: Kv, subscription: Subscription): PresenceBell =>
  kv.backend === 'redis' ? new RedisBell(kv.redis) : new PostgresBell(subscription);
