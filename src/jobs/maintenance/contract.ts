import { z } from 'zod';
import { pathFilterSchema } from '../../lib/json/path-filter.ts';
import { defineJob } from '../../queues/define-job.ts';

const queue = 'maintenance';
const count = z.number().int().min(0);

/** Drops what is past its retention, and makes the partitions of the days to come. */
export const prune = defineJob({
  name: 'maintenance.prune',
  queue,
  payload: z.strictObject({}),
  result: z.object({
    /** Days of finished jobs, dropped whole. */
    partitionsDropped: z.array(z.string()),
    /** Past their time, but in use by somebody; the next run tries again. */
    partitionsBusy: z.array(z.string()),
    /** Rows, by what they were. */
    deleted: z.object({
      finishedJobs: count,
      events: count,
      eventDeadLetters: count,
      idempotencyKeys: count,
      onceKeys: count,
      scheduleFires: count,
      payloads: count,
      throttles: count,
      rateBuckets: count,
      rateLimits: count,
      sagas: count,
      searches: count,
      searchDays: count,
      searchQueries: count,
      sessions: count,
      presenceDocuments: count,
      locks: count,
      lockFences: count,
      cacheCounters: count,
      cacheSets: count,
    }),
    /** Past their time, and kept for a consumer that has yet to handle them. */
    eventsHeld: count,
    /** Deleted before a consumer handled them, by consumer. */
    eventsMissed: z.record(z.string(), count),
  }),
  timeoutMs: 1_800_000,
});

/** Makes what every installation needs, unless it is there. */
export const seed = defineJob({
  name: 'maintenance.seed',
  queue,
  payload: z.strictObject({}),
  result: z.object({ workspaceId: z.string(), adminId: z.string(), roles: z.array(z.string()) }),
});

/**
 * Puts the dead letters that match every given field back to work, so many a second, the oldest first. Run again after a
 * crash it goes on with those that are left.
 */
export const redrive = defineJob({
  name: 'maintenance.redrive',
  queue,
  payload: z.strictObject({
    filter: z
      .strictObject({
        ids: z.array(z.uuid()).max(10_000).optional(),
        queue: z.string().optional(),
        name: z.string().optional(),
        errorCode: z.string().optional(),
        tenant: z.string().optional(),
        tag: z.string().optional(),
        payload: pathFilterSchema.optional(),
        from: z.iso.datetime({ offset: true }).optional(),
        to: z.iso.datetime({ offset: true }).optional(),
      })
      .prefault({}),
    ratePerSecond: z.number().int().min(1).max(10_000).default(100),
    /** Letters of jobs that died later stay, or one that dies again at once would be redriven for ever. By default when this job was accepted. */
    diedBefore: z.iso.datetime({ offset: true }).optional(),
  }),
  result: z.object({ redriven: count }),
  timeoutMs: 86_400_000,
});

/**
 * Runs data migrations that are not valid yet, all in the order of their names or the one that is named; or takes the named
 * one back. Run again after a crash it goes on with the next batch.
 */
export const migrate = defineJob({
  name: 'maintenance.migrate',
  queue,
  payload: z.discriminatedUnion('direction', [
    z.strictObject({ direction: z.literal('up'), name: z.string().optional() }),
    z.strictObject({ direction: z.literal('down'), name: z.string() }),
  ]),
  result: z.object({
    migrations: z.array(
      z.object({
        name: z.string(),
        state: z.string(),
        /** Rows that the migration has changed in all. */
        changed: count,
        /** Changes that this run has undone. */
        undone: count.optional(),
      }),
    ),
  }),
  timeoutMs: 86_400_000,
});

/** Finds jobs that their queue has lost, and makes them ready again. */
export const reconcile = defineJob({
  name: 'maintenance.reconcile',
  queue,
  payload: z.strictObject({}),
  result: z.object({ madeReady: count, documentsReindexed: count }),
  timeoutMs: 300_000,
});

const indexName = z.string().min(1).max(100);

/**
 * Builds an index anew beside the live one, and swaps them when the new one equals its tables. Run again after a crash it
 * goes on where it was.
 */
export const rebuildIndexJob = defineJob({
  name: 'maintenance.rebuild-index',
  queue,
  payload: z.strictObject({ index: indexName, reason: z.string().max(500).default('asked for') }),
  result: z.object({ index: z.string(), documents: count, failed: count, repaired: count }),
  // An Elasticsearch that is away for a day finds its index built afterwards.
  attempts: 100,
  backoff: { type: 'exponential', delayMs: 2_000, maxDelayMs: 300_000, jitter: 0.3 },
  timeoutMs: 86_400_000,
  deduplicateBy: ['index'],
});

/** Writes all documents to the live index again, while changes go on. Run again after a crash it goes on where it was. */
export const backfillIndexJob = defineJob({
  name: 'maintenance.backfill-index',
  queue,
  payload: z.strictObject({ index: indexName }),
  result: z.object({ written: count, stale: count, failed: count }),
  attempts: 20,
  backoff: { type: 'exponential', delayMs: 2_000, maxDelayMs: 300_000, jitter: 0.3 },
  timeoutMs: 86_400_000,
  deduplicateBy: ['index'],
});

const verification = z.object({
  index: z.string(),
  documents: count,
  missing: count,
  different: count,
  surplus: count,
  repaired: count,
  unsettled: count,
});

/** Compares indexes with their tables, one or all, at a bounded rate, and writes again what differs. */
export const verifyIndexJob = defineJob({
  name: 'maintenance.verify-index',
  queue,
  payload: z.strictObject({
    index: indexName.optional(),
    ratePerSecond: z.number().int().min(1).max(1_000_000).default(1_000),
  }),
  result: z.object({ indexes: z.array(verification) }),
  attempts: 5,
  backoff: { type: 'exponential', delayMs: 10_000, maxDelayMs: 600_000, jitter: 0.3 },
  timeoutMs: 86_400_000,
  deduplicateBy: ['index'],
});

/** As `maintenance.verify-index`, of one index and as fast as it goes. */
export const repairIndexJob = defineJob({
  name: 'maintenance.repair-index',
  queue,
  payload: z.strictObject({ index: indexName }),
  result: verification,
  attempts: 20,
  backoff: { type: 'exponential', delayMs: 2_000, maxDelayMs: 300_000, jitter: 0.3 },
  timeoutMs: 86_400_000,
  deduplicateBy: ['index'],
});

/** Encrypts again, under the first of TREADLE_ENCRYPTION_KEYS, what jobs keep under the others, so that those can be taken out. */
export const rotateEncryption = defineJob({
  name: 'maintenance.rotate-encryption',
  queue,
  payload: z.strictObject({}),
  result: z.object({
    /** Jobs whose payload is under the first key since this run. */
    rotated: count,
    /** Jobs whose payload could not be decrypted, by the key that is missing or wrong. */
    unreadable: z.record(z.string(), count),
  }),
  timeoutMs: 86_400_000,
});
