import { repairDocuments } from '../../domain/search/postgres/repair-documents.ts';
import { seed as seedInstallation } from '../../domain/seed/seed.ts';
import { handle } from '../../queues/handle.ts';
import { completed } from '../../queues/outcome.ts';
import { prune, reconcile, redrive, seed } from './contract.ts';
import { pruneExpired } from './prune-expired.ts';
import { redriveAtRate } from './redrive-at-rate.ts';

export const pruneHandler = handle(prune, async ({ platform, signal }) =>
  completed(await pruneExpired(platform.postgres, platform.config.retention, signal)),
);

export const seedHandler = handle(seed, async ({ platform }) => {
  const { workspace, admin, roles } = await seedInstallation(platform);
  return completed({ workspaceId: workspace.id, adminId: admin.id, roles: roles.map(({ name }) => name) });
});

const earlier = (a: Date, b: Date | undefined): Date => (b && b < a ? b : a);

export const redriveHandler = handle(redrive, async (context) => {
  const { payload, platform, signal } = context;
  const { from, to, ...filter } = payload.filter;
  const range = {
    ...(from === undefined ? {} : { from: new Date(from) }),
    to: earlier(new Date(payload.diedBefore), to === undefined ? undefined : new Date(to)),
  };
  const redriven = await redriveAtRate(
    platform.deadLetters,
    { ...filter, ...range },
    {
      ratePerSecond: payload.ratePerSecond,
      signal,
      // How many there are in all is not known, and changes meanwhile.
      onStep: (done) => context.progress(0, `${done} redriven`),
    },
  );
  return completed({ redriven });
});

export const reconcileHandler = handle(reconcile, async ({ platform }) => {
  const reconciler = await platform.reconciler();
  const madeReady = await reconciler.reconcile();
  return completed({ madeReady, documentsReindexed: await repairDocuments(platform.postgres) });
});
