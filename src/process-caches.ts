import { CacheWarmingService } from './domain/caching/cache-warming-service.ts';
import { warmWorkspace } from './jobs/cache/contract.ts';
import type { Config } from './lib/config/load-config.ts';
import type { RedisAddress } from './lib/redis/connect-redis.ts';
import type { Platform } from './platform.ts';
import type { Enqueuer } from './queues/ports.ts';

/** The Redis of caches, which may evict; undefined where there is none. */
export const cacheAddressOf = ({ redis: { url, cacheUrl, tls } }: Config): RedisAddress | undefined =>
  cacheUrl === undefined
    ? undefined
    : { variable: cacheUrl === url ? 'REDIS_URL' : 'REDIS_CACHE_URL', url: cacheUrl, tls };

type WarmedParts = Pick<
  Platform,
  'postgres' | 'knowledge' | 'tags' | 'workspaces' | 'searchAnalytics' | 'workspaceCache' | 'log'
>;

export const createCacheWarming = (
  { searchAnalytics, workspaceCache, ...parts }: WarmedParts,
  enqueuer: Enqueuer,
): CacheWarmingService =>
  new CacheWarmingService({
    ...parts,
    cache: workspaceCache,
    searchedSince: (time) => searchAnalytics.searchedSince(time),
    enqueue: async (workspaceIds) => {
      await enqueuer.enqueueMany(
        warmWorkspace,
        workspaceIds.map((workspaceId) => ({ workspaceId })),
      );
    },
  });
