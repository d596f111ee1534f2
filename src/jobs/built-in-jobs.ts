import type { JobContract } from '../queues/define-job.ts';
import type { JobHandler } from '../queues/handle.ts';
import { warmDueWorkspaces, warmWorkspace } from './cache/contract.ts';
import { backfillEmbeddings, embedDocument, embedRow } from './embeddings/contract.ts';
import {
  backfillIndexJob,
  migrate,
  prune,
  rebuildIndexJob,
  reconcile,
  redrive,
  repairIndexJob,
  rotateEncryption,
  seed,
  verifyIndexJob,
} from './maintenance/contract.ts';
import { cleanInactive } from './presence/contract.ts';
import { runSaga } from './sagas/contract.ts';
import { flushAnalytics, reindexWorkspace, syncDocument } from './search/contract.ts';

/** The contracts of the jobs that Treadle brings. */
export const builtInContracts: readonly JobContract[] = [
  embedDocument,
  embedRow,
  backfillEmbeddings,
  prune,
  seed,
  redrive,
  reconcile,
  rotateEncryption,
  runSaga,
  cleanInactive,
  migrate,
  flushAnalytics,
  syncDocument,
  reindexWorkspace,
  rebuildIndexJob,
  backfillIndexJob,
  verifyIndexJob,
  repairIndexJob,
  warmWorkspace,
  warmDueWorkspaces,
];

/** Their handlers, loaded by workers only. */
export const loadBuiltInHandlers = async (): Promise<readonly JobHandler[]> => {
  const cache = await import('./cache/handler.ts');
  const embeddings = await import('./embeddings/handler.ts');
  const maintenance = await import('./maintenance/handler.ts');
  const indexes = await import('./maintenance/index-handlers.ts');
  const presence = await import('./presence/handler.ts');
  const sagas = await import('./sagas/handler.ts');
  const search = await import('./search/handler.ts');
  return [
    embeddings.embedDocumentHandler,
    embeddings.embedRowHandler,
    embeddings.backfillEmbeddingsHandler,
    maintenance.pruneHandler,
    maintenance.seedHandler,
    maintenance.redriveHandler,
    maintenance.reconcileHandler,
    maintenance.rotateEncryptionHandler,
    sagas.runSagaHandler,
    presence.cleanInactiveHandler,
    maintenance.migrateHandler,
    search.flushAnalyticsHandler,
    search.syncDocumentHandler,
    search.reindexWorkspaceHandler,
    indexes.rebuildIndexHandler,
    indexes.backfillIndexHandler,
    indexes.verifyIndexHandler,
    indexes.repairIndexHandler,
    cache.warmWorkspaceHandler,
    cache.warmDueWorkspacesHandler,
  ];
};
