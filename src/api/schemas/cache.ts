import { z } from 'zod';

const count = z.number().int().min(0);

export const cacheMetricsAnswer = z
  .object({
    hits: count,
    misses: count,
    hitRate: z.number().min(0).max(1),
    memoryHits: count,
    redisHits: count,
    staleHits: count.describe('Answered although they had expired, within their grace'),
    sets: count,
    computations: count,
    sharedComputations: count.describe('Computed by another process while this one waited'),
    invalidations: count,
    outdated: count.describe('Not kept: they stopped to hold while they were read'),
    unserialisable: count,
    averageSize: count.describe('Of an entry in memory, in bytes'),
    writesBehind: count,
    redis: z
      .object({ errors: count, timeouts: count, skipped: count, corrupted: count, missedInvalidations: count })
      .optional()
      .describe('Absent while nothing is kept in Redis'),
    bus: z
      .object({
        kind: z.enum(['redis', 'notify']),
        hears: z.boolean(),
        published: count,
        received: count,
        failed: count,
        gaps: count,
      })
      .optional(),
    memory: z.object({ entries: count, totalSize: count, maxEntries: count, maxSize: count, evictions: count }),
  })
  .meta({ id: 'CacheMetrics' });

const names = z.array(z.string().min(1).max(1_000)).min(1).max(1_000);

export const invalidateBody = z
  .strictObject({
    keys: names.optional(),
    tags: names.optional(),
    pattern: z.string().min(1).max(1_000).optional().describe('A glob over whole keys: `knowledge:*`'),
    regexp: z.string().min(1).max(1_000).optional().describe('An expression that is found in keys'),
  })
  .refine((body) => Object.values(body).some((value) => value !== undefined), {
    message: 'must name keys, tags, a pattern or a regexp',
  });

export const invalidateAnswer = z.object({
  everywhere: z.boolean().describe('False: Redis or other processes are told as soon as they can be reached'),
});
