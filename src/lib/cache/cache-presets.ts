import type { CacheSettingsInput } from './cache-settings.ts';

/** For `CacheManager.initialize`. */
export const CACHE_PRESETS = {
  /** Five minutes, compressed. */
  AGGRESSIVE: { ttlMs: 300_000, compressAboveBytes: 1_024 },
  /** Half an hour, in memory. */
  LIGHT: { layers: 'memory', ttlMs: 1_800_000 },
  /** Two hours, in Redis alone: every process sees the same. */
  DISTRIBUTED: { layers: 'redis', ttlMs: 7_200_000 },
  /** An hour, in memory. */
  MEMORY_ONLY: { layers: 'memory', ttlMs: 3_600_000 },
} as const satisfies Record<string, CacheSettingsInput>;
