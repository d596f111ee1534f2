import { z } from 'zod';
import { defineJob } from '../../queues/define-job.ts';

/** Makes a document's embeddings those of its present text. Enqueued by the database whenever title, excerpt or content change. */
export const embedDocument = defineJob({
  name: 'embeddings.embed-document',
  queue: 'embeddings',
  payload: z.strictObject({
    workspaceId: z.uuid(),
    documentId: z.uuid(),
    reason: z.enum(['changed', 'backfill', 'requested']),
  }),
  result: z.object({
    chunks: z.number().int().min(0),
    embedded: z.number().int().min(0),
    reused: z.number().int().min(0),
  }),
  attempts: 8,
  backoff: { type: 'exponential', delayMs: 1_000, maxDelayMs: 300_000, jitter: 0.5 },
  timeoutMs: 60_000,
  deduplicateBy: ['documentId'],
});

/** Makes the embeddings of a row of an app's own table those of its present texts, or removes those of a row that is gone. */
export const embedRow = defineJob({
  name: 'embeddings.embed-row',
  queue: 'embeddings',
  payload: z.strictObject({ index: z.string(), workspaceId: z.string(), id: z.string() }),
  result: z.object({
    chunks: z.number().int().min(0),
    embedded: z.number().int().min(0),
    reused: z.number().int().min(0),
  }),
  attempts: 8,
  backoff: { type: 'exponential', delayMs: 1_000, maxDelayMs: 300_000, jitter: 0.5 },
  timeoutMs: 60_000,
  deduplicateBy: ['index', 'id'],
});

/** Enqueues an embedding job for every document, of one workspace or of all, that the present model's embeddings lack. */
export const backfillEmbeddings = defineJob({
  name: 'embeddings.backfill',
  queue: 'embeddings',
  payload: z.strictObject({ workspaceId: z.uuid().optional() }),
  result: z.object({ enqueued: z.number().int().min(0) }),
  attempts: 5,
  backoff: { type: 'exponential', delayMs: 5_000, maxDelayMs: 300_000, jitter: 0.5 },
  timeoutMs: 3_600_000,
  priority: 7,
  deduplicateBy: ['workspaceId'],
});
