import { AppError } from '../../lib/errors/app-error.ts';
import { repairDocuments } from '../../domain/search/postgres/repair-documents.ts';
import { seed as seedInstallation } from '../../domain/seed/seed.ts';
import { handle } from '../../queues/handle.ts';
import { completed, permanent } from '../../queues/outcome.ts';
import { migrate, prune, reconcile, redrive, rotateEncryption, seed } from './contract.ts';
import { migrateData } from './migrate-data.ts';
import { pruneExpired } from './prune-expired.ts';
import { redriveAtRate } from './redrive-at-rate.ts';

export const pruneHandler = handle(prune, async ({ platform, signal, log }) => {
  const pruned = await pruneExpired(platform.postgres, platform.config.retention, signal);
  const { eventsHeld, eventsMissed } = pruned;
  if (eventsHeld > 0) log.warn({ event: 'prune.events-held', events: eventsHeld });
  for (const [consumer, events] of Object.entries(eventsMissed))
    log.error({ event: 'prune.events-missed', consumer, events });
  return completed(pruned);
});

export const seedHandler = handle(seed, async ({ platform }) => {
  const { workspace, admin, roles } = await seedInstallation(platform);
  return completed({ workspaceId: workspace.id, adminId: admin.id, roles: roles.map(({ name }) => name) });
});

const earlier = (a: Date, b: Date | undefined): Date => (b && b < a ? b : a);

export const redriveHandler = handle(redrive, async ({ payload, platform, job, signal, progress }) => {
  const { from, to, ...rest } = payload.filter;
  const self = await platform.jobs.find(job.id);
  const before = payload.diedBefore === undefined ? self?.createdAt : new Date(payload.diedBefore);
  const filter = {
    ...rest,
    ...(from === undefined ? {} : { from: new Date(from) }),
    to: earlier(before ?? new Date(), to === undefined ? undefined : new Date(to)),
  };
  const left = await platform.deadLetters.count(filter);
  // What an attempt that was killed had done is known by how far it said it was.
  const done = self?.progress ? Math.min(self.progress.fraction, 0.999) : 0;
  const total = Math.round(left / (1 - done));
  const tell = (redriven: number): void =>
    progress(total === 0 ? 1 : (total - left + redriven) / total, `${total - left + redriven} of ${total} redriven`);
  tell(0);
  const { ratePerSecond } = payload;
  const redriven = await redriveAtRate(platform.deadLetters, filter, { ratePerSecond, signal, onStep: tell });
  return completed({ redriven: total - left + redriven });
});

export const reconcileHandler = handle(reconcile, async ({ platform }) => {
  const reconciler = await platform.reconciler();
  const madeReady = await reconciler.reconcile();
  return completed({ madeReady, documentsReindexed: await repairDocuments(platform.postgres) });
});

export const rotateEncryptionHandler = handle(rotateEncryption, async ({ platform, signal }) =>
  completed(await platform.rotateEncryption(signal)),
);

export const migrateHandler = handle(migrate, async ({ payload, platform, signal, progress }) => {
  try {
    return completed({ migrations: await migrateData(payload, platform, { signal, progress }) });
  } catch (error) {
    // Faults that a validation has found are for people to put right.
    if (error instanceof AppError && error.code === 'DATA_CONSISTENCY_ERROR' && !error.retryable)
      return permanent(error);
    throw error;
  }
});
