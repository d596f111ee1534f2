import { z } from 'zod';
import { defineJob } from '../../queues/define-job.ts';

const counted = z.number().int().min(0);

/** Writes a document that Elasticsearch has refused to its index once more, as it is then. One that is refused each time ends as a dead letter. */
export const syncDocument = defineJob({
  name: 'search.sync-document',
  queue: 'search',
  payload: z.strictObject({ index: z.string(), workspaceId: z.string(), id: z.string() }),
  result: z.object({ written: counted, stale: counted }),
  attempts: 5,
  backoff: { type: 'exponential', delayMs: 5_000, maxDelayMs: 600_000, jitter: 0.5 },
  timeoutMs: 120_000,
  deduplicateBy: ['index', 'workspaceId', 'id'],
});

/** Writes all documents of a workspace to the index, and takes out those that are gone; searches go on meanwhile. */
export const reindexWorkspace = defineJob({
  name: 'search.reindex-workspace',
  queue: 'search',
  payload: z.strictObject({ workspaceId: z.uuid() }),
  result: z.object({ written: counted, stale: counted, failed: counted, removed: counted }),
  timeoutMs: 3_600_000,
  deduplicateBy: ['workspaceId'],
});

/** Of the searches of days that are over, keeps what trends show and forgets the tail of rare queries. */
export const flushAnalytics = defineJob({
  name: 'search.flush-analytics',
  queue: 'search',
  payload: z.strictObject({}),
  result: z.object({ queriesForgotten: z.number().int().min(0) }),
  timeoutMs: 600_000,
});
