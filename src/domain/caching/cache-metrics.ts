import type { CacheManager } from '../../lib/cache/cache-manager.ts';
import type { Metric } from '../../lib/telemetry/metric-text.ts';

const counter = (name: string, help: string, value: number): Metric => ({
  name,
  help,
  type: 'counter',
  samples: [{ labels: {}, value }],
});

const gauge = (name: string, help: string, value: number): Metric => ({ ...counter(name, help, value), type: 'gauge' });

/** What a cache says of itself, for /metrics. */
export const cacheMetrics = (cache: CacheManager): readonly Metric[] => {
  const { computations, sharedComputations, invalidations, outdated, redis, bus } = cache.getMetrics();
  const { entries, totalSize, evictions } = cache.getLocalCacheStats();
  return [
    ...cache.metrics(),
    counter('treadle_cache_computations_total', 'Values that were computed here.', computations),
    counter('treadle_cache_shared_computations_total', 'Values that another process computed.', sharedComputations),
    counter('treadle_cache_invalidations_total', 'Invalidations that began here.', invalidations),
    counter('treadle_cache_outdated_total', 'Values not kept: they stopped to hold while they were read.', outdated),
    counter('treadle_cache_evictions_total', 'Entries that memory had no room for.', evictions),
    gauge('treadle_cache_memory_entries', 'Entries in memory.', entries),
    gauge('treadle_cache_memory_bytes', 'What they take, as text.', totalSize),
    ...(redis
      ? [
          {
            name: 'treadle_cache_redis_failures_total',
            help: 'Commands that Redis did not answer, by why.',
            type: 'counter' as const,
            samples: (['errors', 'timeouts', 'skipped', 'corrupted'] as const).map((reason) => ({
              labels: { reason },
              value: redis[reason],
            })),
          },
          gauge(
            'treadle_cache_redis_missed_invalidations',
            'Invalidations that Redis has yet to be told.',
            redis.missedInvalidations,
          ),
        ]
      : []),
    ...(bus
      ? [
          counter(
            'treadle_cache_bus_gaps_total',
            'How often messages of others were, or may have been, lost.',
            bus.gaps,
          ),
          gauge('treadle_cache_bus_hears', '1 while messages of other processes are heard.', bus.hears ? 1 : 0),
        ]
      : []),
  ];
};
