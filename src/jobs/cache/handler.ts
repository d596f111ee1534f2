import { AppError } from '../../lib/errors/app-error.ts';
import { handle } from '../../queues/handle.ts';
import { completed } from '../../queues/outcome.ts';
import { warmDueWorkspaces, warmWorkspace } from './contract.ts';

export const warmWorkspaceHandler = handle(warmWorkspace, async ({ payload, platform, signal, progress }) => {
  try {
    return completed(await platform.cacheWarming.warmWorkspaceCache(payload.workspaceId, { signal, progress }));
  } catch (error) {
    // It was deleted meanwhile.
    if (error instanceof AppError && error.code === 'NOT_FOUND') return completed({ documents: 0, fresh: 0, tags: 0 });
    throw error;
  }
});

export const warmDueWorkspacesHandler = handle(warmDueWorkspaces, async ({ platform }) =>
  completed({ workspaces: await platform.cacheWarming.scheduleRegularWarming() }),
);
