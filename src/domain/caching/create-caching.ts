import { createCache } from '../../lib/cache/create-cache.ts';
import type { CacheManager } from '../../lib/cache/cache-manager.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import type { RedisAddress } from '../../lib/redis/connect-redis.ts';
import type { Meter } from '../../lib/telemetry/meter.ts';
import { cacheFeed } from './cache-feed.ts';
import { CacheInvalidation, type CacheInvalidationParts } from './cache-invalidation.ts';
import { cacheMetrics } from './cache-metrics.ts';
import { WorkspaceCache } from './workspace-cache.ts';

export interface CachingParts {
  /** Of caches, which may evict; undefined: memory alone. */
  readonly redis: RedisAddress | undefined;
  readonly postgres: Postgres;
  readonly subscription: Subscription;
  readonly meter: Meter;
  readonly log: Log;
  /** See {@link CacheInvalidation}. */
  readonly follow: CacheInvalidationParts['follow'];
}

export interface Caching {
  readonly cache: CacheManager;
  readonly cacheInvalidation: CacheInvalidation;
  readonly workspaceCache: WorkspaceCache;
  readonly closeCaching: () => Promise<void>;
}

const compressAboveBytes = 4_096;

/** The cache of a process, what tells it of changes, and what is kept in it. Nothing is opened before it is used. */
export const createCaching = ({ redis, postgres, subscription, meter, log, follow }: CachingParts): Caching => {
  const cache: CacheManager = createCache(
    {
      redis,
      postgres,
      subscription,
      log,
      ear: () => cacheFeed({ postgres, subscription, invalidation: cacheInvalidation, log }),
    },
    { compressAboveBytes },
  );
  const cacheInvalidation = new CacheInvalidation({ cache, log, follow });
  meter.addSource('cache', () => cacheMetrics(cache));
  return {
    cache,
    cacheInvalidation,
    workspaceCache: new WorkspaceCache({ cache, invalidation: cacheInvalidation }),
    closeCaching: async () => {
      cacheInvalidation.close();
      await cache.close();
    },
  };
};
