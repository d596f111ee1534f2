import { AppError } from '../../lib/errors/app-error.ts';
import { retryAfterMsOf } from '../../lib/errors/retry-after.ts';
import { handle } from '../../queues/handle.ts';
import { completed, OutcomeError, rateLimited } from '../../queues/outcome.ts';
import { TableSource } from '../../domain/search/indexes/table-source.ts';
import { backfillEmbeddings, embedDocument, embedRow } from './contract.ts';

const batchSize = 500;

/** The endpoint's wish to be left alone costs the job no attempt. */
const asOutcome = (error: unknown): never => {
  if (error instanceof AppError && error.code === 'RATE_LIMITED')
    throw new OutcomeError(rateLimited(retryAfterMsOf(error) ?? 1_000));
  throw error;
};

export const embedDocumentHandler = handle(embedDocument, async ({ payload, platform, signal }) => {
  const document = await platform.knowledge.readById(payload.workspaceId, payload.documentId);
  if (!document) return completed({ chunks: 0, embedded: 0, reused: 0 });
  return completed(await platform.embeddings.refresh(document, { signal }).catch(asOutcome));
});

export const embedRowHandler = handle(embedRow, async ({ payload, platform, signal }) => {
  const { embeddings, indexes, postgres } = platform;
  const { source } = indexes.get(payload.index);
  if (!(source instanceof TableSource)) return completed({ chunks: 0, embedded: 0, reused: 0 });
  const row = await source.textOf(postgres, payload.id);
  const entity = { entityType: source.entityType, entityId: payload.id };
  // Of nothing there is no vector: endpoints refuse an empty text.
  if (!row || row.text.trim() === '') {
    await embeddings.removeEntity(entity);
    return completed({ chunks: 0, embedded: 0, reused: 0 });
  }
  return completed(await embeddings.refreshEntity({ ...entity, ...row }, { signal }).catch(asOutcome));
});

export const backfillEmbeddingsHandler = handle(backfillEmbeddings, async (context) => {
  const { embeddings, postgres } = context.platform;
  const { workspaceId } = context.payload;
  const total = await embeddings.countStale(workspaceId);
  let enqueued = 0;
  let after: string | undefined;
  for (;;) {
    context.signal.throwIfAborted();
    const batch = await embeddings.findStale({ workspaceId, after, limit: batchSize });
    if (batch.length === 0) return completed({ enqueued });
    await postgres.query('SELECT treadle.enqueue_embeddings($1::uuid[], $2::uuid[], $3)', [
      batch.map((document) => document.workspaceId),
      batch.map((document) => document.id),
      'backfill',
    ]);
    after = batch.at(-1)?.id;
    enqueued += batch.length;
    context.progress(Math.min(1, enqueued / Math.max(total, 1)), `${enqueued} of ${total} documents enqueued`);
  }
});
