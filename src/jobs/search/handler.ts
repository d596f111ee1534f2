import { handle } from '../../queues/handle.ts';
import { completed, retryable } from '../../queues/outcome.ts';
import { flushAnalytics, reindexWorkspace, syncDocument } from './contract.ts';

export const flushAnalyticsHandler = handle(flushAnalytics, async ({ platform, signal }) =>
  completed({ queriesForgotten: await platform.searchAnalytics.closeDays(signal) }),
);

export const syncDocumentHandler = handle(syncDocument, async ({ payload, platform, signal }) => {
  const { index: name, ...key } = payload;
  const index = platform.indexes.get(name);
  const version = await index.states.publishedVersion(name);
  const { written, stale, failed } = await index.writer.update(await index.targets(), [key], version, signal);
  const [first] = failed;
  // Refused for good by itself; somebody may change the document, or the index.
  if (first) return retryable(first.error);
  return completed({ written, stale: stale.length });
});

export const reindexWorkspaceHandler = handle(reindexWorkspace, async ({ payload, platform, signal }) => {
  const { workspaceId } = payload;
  // Without Elasticsearch there is nothing to write: Postgres searches its own tables.
  if (!platform.knowledgeIndex) return completed({ written: 0, stale: 0, failed: 0, removed: 0 });
  const report = await platform.knowledgeIndex.reindexWorkspace(workspaceId, { signal });
  const { written, stale, failed, removed } = report;
  await platform.keepRefused(
    platform.knowledgeIndex.index.name,
    failed.map(({ id }) => ({ workspaceId, id })),
  );
  return completed({ written, stale: stale.length, failed: failed.length, removed });
});
