import type { JobContract } from '../queues/define-job.ts';
import type { JobHandler } from '../queues/handle.ts';
import { backfillEmbeddings, embedDocument } from './embeddings/contract.ts';
import { migrate, prune, reconcile, redrive, rotateEncryption, seed } from './maintenance/contract.ts';
import { runSaga } from './sagas/contract.ts';
import { flushAnalytics } from './search/contract.ts';

/** The contracts of the jobs that Treadle brings. */
export const builtInContracts: readonly JobContract[] = [
  embedDocument,
  backfillEmbeddings,
  prune,
  seed,
  redrive,
  reconcile,
  rotateEncryption,
  runSaga,
  migrate,
  flushAnalytics,
];

/** Their handlers, loaded by workers only. */
export const loadBuiltInHandlers = async (): Promise<readonly JobHandler[]> => {
  const embeddings = await import('./embeddings/handler.ts');
  const maintenance = await import('./maintenance/handler.ts');
  const sagas = await import('./sagas/handler.ts');
  const search = await import('./search/handler.ts');
  return [
    embeddings.embedDocumentHandler,
    embeddings.backfillEmbeddingsHandler,
    maintenance.pruneHandler,
    maintenance.seedHandler,
    maintenance.redriveHandler,
    maintenance.reconcileHandler,
    maintenance.rotateEncryptionHandler,
    sagas.runSagaHandler,
    maintenance.migrateHandler,
    search.flushAnalyticsHandler,
  ];
};
