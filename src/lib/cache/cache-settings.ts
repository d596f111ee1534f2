import { z } from 'zod';
import { validationError } from '../errors/app-error.ts';
import { parseOrThrow } from '../errors/zod-faults.ts';

const longestMs = 365 * 24 * 3_600_000;

const ttl = z
  .number({ error: 'must be a number of milliseconds' })
  .int('must be whole milliseconds')
  .min(1, 'must be at least 1 ms')
  .max(longestMs, 'must be at most 365 days');
const duration = z.number().int().min(0).max(longestMs);
const timeout = z.number().int().min(1).max(3_600_000);

const settings = z.strictObject({
  /** `both`: memory, and Redis where there is one. `redis` needs one. */
  layers: z.enum(['both', 'memory', 'redis']).default('both'),
  ttlMs: ttl.default(3_600_000),
  /** Up to so much of a time to live is taken off by chance, so that what was written together does not expire together. */
  jitter: z.number().min(0).max(0.5).default(0.1),
  /** How long behind its end a value still answers for a source that fails. */
  graceMs: duration.default(0),
  /** How long it is known that the source has nothing; 0: such an answer is not kept. */
  negativeTtlMs: duration.default(30_000),
  /** In Redis a larger value is kept compressed; undefined: none is. */
  compressAboveBytes: z.number().int().min(1).optional(),
  maxEntries: z.number().int().min(1).max(10_000_000).default(10_000),
  maxBytes: z
    .number()
    .int()
    .min(1)
    .default(64 * 1024 * 1024),
  /** Behind it Redis counts as failed, and the value as missing. */
  redisTimeoutMs: timeout.default(250),
  /** How long a computation is the only one while nothing is heard of its process. */
  leaseMs: z.number().int().min(100).max(600_000).default(5_000),
});

export type CacheSettings = z.output<typeof settings>;
export type CacheSettingsInput = z.input<typeof settings>;

/** @throws AppError VALIDATION_ERROR naming every fault. */
export const readSettings = (given: CacheSettingsInput): CacheSettings =>
  parseOrThrow(settings, given, 'the settings of the cache');

const keepOptions = {
  ttlMs: ttl.optional(),
  /** An entry goes with any of them. */
  tags: z.array(z.string().min(1).max(1_000)).max(100).readonly().optional(),
};

const setOptions = z.strictObject(keepOptions);
export type SetOptions = z.input<typeof setOptions>;

const computeOptions = z.strictObject({
  ...keepOptions,
  graceMs: duration.optional(),
  negativeTtlMs: duration.optional(),
  /** Behind its end a value within its grace answers at once, and is computed anew meanwhile. */
  staleWhileRevalidate: z.boolean().optional(),
  /** So long is waited for the source before a value within its grace answers instead; the computation goes on. */
  softTimeoutMs: timeout.optional(),
  /** So long is waited at all. */
  hardTimeoutMs: timeout.optional(),
  /** Whether what was computed is kept; everything is by default. */
  keepIf: z.custom<(value: never) => boolean>((given) => typeof given === 'function').optional(),
  /** From this share of its time on, a value that is asked for is computed anew beside. */
  refreshAhead: z.number().gt(0).lt(1).optional(),
});
export type ComputeOptions = z.input<typeof computeOptions>;

const known = new WeakSet<object>();

/** Options are mostly constants of a module: each object is checked once. */
const checkOnce = <T extends object>(schema: z.ZodType, given: T): T => {
  if (known.has(given)) return given;
  parseOrThrow(schema, given, 'the options of the cache');
  if (Object.isFrozen(given)) known.add(given);
  return given;
};

/** @throws AppError VALIDATION_ERROR naming every fault. */
export const checkSetOptions = (given: SetOptions): SetOptions => checkOnce(setOptions, given);
/** @throws AppError VALIDATION_ERROR naming every fault. */
export const checkComputeOptions = (given: ComputeOptions): ComputeOptions => checkOnce(computeOptions, given);

/** @throws AppError VALIDATION_ERROR. */
export const readTtl = (given: number | undefined, fallback: number): number => {
  if (given === undefined) return fallback;
  const parsed = ttl.safeParse(given);
  if (parsed.success) return parsed.data;
  throw validationError(
    'the cache',
    parsed.error.issues.map(({ message }) => ({ path: 'ttlMs', message })),
  );
};
