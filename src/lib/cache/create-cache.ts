import { setTimeout as delay } from 'node:timers/promises';
import { withTimeout } from '../batching/with-timeout.ts';
import { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import type { Queryable } from '../postgres/queryable.ts';
import type { Subscription } from '../postgres/subscription.ts';
import type { RedisAddress } from '../redis/connect-redis.ts';
import { RedisConnection } from '../redis/redis-connection.ts';
import { BusMember } from './bus/bus-member.ts';
import type { CacheBus } from './bus/cache-bus.ts';
import { NotifyBus } from './bus/notify-bus.ts';
import { RedisBus } from './bus/redis-bus.ts';
import { CacheLayers } from './cache-layers.ts';
import { CacheManager, type CacheStores } from './cache-manager.ts';
import type { CacheCounts } from './cache-metrics.ts';
import type { CacheSettings, CacheSettingsInput } from './cache-settings.ts';
import { MemoryLayer } from './memory-layer.ts';
import { PostgresCounters } from './postgres-counters.ts';
import { RedisCounters } from './redis-counters.ts';
import { RedisGate } from './redis-gate.ts';
import { RedisLayer } from './redis-layer.ts';
import { RedisNames } from './redis-names.ts';
import { RedisRemoval } from './redis-removal.ts';
import { RedisSide } from './redis-side.ts';

/** Somebody beside the bus who hears what no longer holds. */
export interface CacheEar {
  readonly name: string;
  /** Begins to listen; tells whether it hears, and answers how to stop. */
  readonly open: (setHearing: (hears: boolean) => void) => Promise<() => Promise<void>>;
}

export interface CacheParts {
  /** Undefined: entries are kept in memory alone, counters and sets in Postgres. */
  readonly redis: RedisAddress | undefined;
  readonly postgres: Queryable;
  readonly subscription: Pick<Subscription, 'listen'>;
  readonly log: Log;
  /** Before all keys in Redis; caches of one prefix share them, and tell each other. `main` by default. */
  readonly prefix?: string;
  /** By Redis where entries lie there, else by NOTIFY. */
  readonly bus?: 'redis' | 'notify';
  /** How often it is looked whether the bus is heard; 5 s by default. */
  readonly beatMs?: number;
  /** Asked for when the cache is opened. */
  readonly ear?: (() => CacheEar) | undefined;
}

const openedWithinMs = 2_000;
const earRetryMs = 1_000;
const busEar = 'bus';

const requireRedis = (redis: RedisAddress | undefined, { layers }: CacheSettings): void => {
  if (layers !== 'redis' || redis) return;
  const message = 'must be set, or REDIS_URL: this cache is kept in Redis alone';
  throw new AppError('CONFIGURATION_ERROR', `REDIS_CACHE_URL ${message}`, {
    faults: [{ variable: 'REDIS_CACHE_URL', message }],
  });
};

const openRedis = (connection: RedisConnection, names: RedisNames, settings: CacheSettings, log: Log): RedisSide => {
  const gate = new RedisGate({ connection, timeoutMs: settings.redisTimeoutMs, log });
  const layer = new RedisLayer({ gate, names, compressAboveBytes: settings.compressAboveBytes, log });
  return new RedisSide({ gate, layer, removal: new RedisRemoval({ gate, names }), log });
};

const openBus = (parts: CacheParts, prefix: string, connection: RedisConnection | undefined): CacheBus => {
  const { redis, postgres, subscription, log, bus } = parts;
  if (redis && connection && bus !== 'notify') return new RedisBus({ address: redis, connection, prefix, log });
  return new NotifyBus({ postgres, subscription, prefix, log });
};

/** Tried again until it hears. */
const openEar = (ear: CacheEar, memory: MemoryLayer, log: Log): (() => Promise<void>) => {
  const closing = new AbortController();
  const listen = async (): Promise<(() => Promise<void>) | undefined> => {
    while (!closing.signal.aborted) {
      try {
        return await ear.open((hears) => memory.setHearing(ear.name, hears));
      } catch (error) {
        log.warn({ event: 'cache.ear-not-opened', ear: ear.name, err: error });
        await delay(earRetryMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined);
      }
    }
    return undefined;
  };
  const opened = listen();
  return async () => {
    closing.abort();
    await (
      await opened
    )?.();
  };
};

const openStores = (parts: CacheParts, settings: CacheSettings, counts: CacheCounts): CacheStores => {
  const { postgres, log, prefix = 'main', beatMs } = parts;
  requireRedis(parts.redis, settings);
  const address = settings.layers === 'memory' ? undefined : parts.redis;
  const connection = address && new RedisConnection(address, log);
  const names = new RedisNames(prefix);
  const redis = connection && openRedis(connection, names, settings, log);
  const ear = parts.ear?.();
  const ears = [busEar, ...(ear ? [ear.name] : [])];
  const memory = new MemoryLayer({ ...settings, keeps: settings.layers !== 'redis', ears });
  const hearing = Promise.withResolvers<void>();
  const member = new BusMember({
    bus: openBus(parts, prefix, connection),
    log,
    ...(beatMs === undefined ? {} : { beatMs }),
    onInvalidation: (invalidation) => {
      try {
        memory.apply(invalidation);
      } catch (error) {
        log.warn({ event: 'cache.pattern-too-slow', err: error });
      }
    },
    onHearing: (hears) => {
      memory.setHearing(busEar, hears);
      if (hears) hearing.resolve();
    },
  });
  const closeEar = ear && openEar(ear, memory, log);
  member.start();
  return {
    layers: new CacheLayers({ memory, redis, member, counts, settings }),
    counters: connection ? new RedisCounters({ connection, names }) : new PostgresCounters(postgres, prefix),
    bus: () => member.counts(),
    opened: () => withTimeout(hearing.promise, openedWithinMs, 'the bus').catch(() => undefined),
    close: async () => {
      redis?.close();
      await closeEar?.();
      await member.close();
      await connection?.close();
    },
  };
};

/** A cache for a process; nothing is opened before it is used. @throws AppError VALIDATION_ERROR for the settings. */
export const createCache = (parts: CacheParts, settings: CacheSettingsInput = {}): CacheManager =>
  new CacheManager({ open: (checked, counts) => openStores(parts, checked, counts), log: parts.log }, settings);
