import type { JobContract } from '../queues/define-job.ts';
import type { JobHandler } from '../queues/handle.ts';
import { backfillEmbeddings, embedDocument } from './embeddings/contract.ts';

/** The contracts of the jobs that Treadle brings. */
export const builtInContracts: readonly JobContract[] = [embedDocument, backfillEmbeddings];

/** Their handlers, loaded by workers only. */
export const loadBuiltInHandlers = async (): Promise<readonly JobHandler[]> => {
  const embeddings = await import('./embeddings/handler.ts');
  return [embeddings.embedDocumentHandler, embeddings.backfillEmbeddingsHandler];
};
