import { PresenceService } from './domain/presence/service.ts';
import { SessionService } from './domain/sessions/service.ts';
import type { Config } from './lib/config/load-config.ts';
import type { Kv } from './lib/kv/kv.ts';
import { LockService } from './lib/locks/lock-service.ts';
import type { Log } from './lib/log/create-log.ts';
import type { Postgres } from './lib/postgres/postgres.ts';
import type { Subscription } from './lib/postgres/subscription.ts';
import { RedisConnection } from './lib/redis/redis-connection.ts';

/** What is kept in Redis or in Postgres, as TREADLE_KV_BACKEND says. */
export interface KvServices {
  readonly sessions: SessionService;
  readonly presence: PresenceService;
  readonly locks: LockService;
}

/** Not the Redis of caches, which may evict. */
export const createKv = (postgres: Postgres, { redis, kvBackend }: Config, log: Log): Kv =>
  kvBackend === 'redis' && redis.url !== undefined
    ? {
        backend: 'redis',
        redis: new RedisConnection({ variable: 'REDIS_URL', url: redis.url, tls: redis.tls }, log),
        postgres,
      }
    : { backend: 'postgres', postgres };

export const createKvServices = (
  kv: Kv,
  subscription: Subscription,
  log: Log,
): KvServices & { readonly closeKv: () => Promise<void> } => {
  const locks = new LockService({ kv, log });
  return {
    sessions: new SessionService({ kv }),
    presence: new PresenceService({ kv, subscription, log }),
    locks,
    closeKv: async () => {
      await locks.close();
      if (kv.backend === 'redis') await kv.redis.close();
    },
  };
};
