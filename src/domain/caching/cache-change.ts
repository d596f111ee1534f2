import { z } from 'zod';
import { CacheKeyBuilder } from '../../lib/cache/cache-key-builder.ts';
import type { Invalidation } from '../../lib/cache/invalidation.ts';

/** What entries of a workspace are tagged with; known before they are read. */
export const cacheTags = {
  /** Everything that shows documents. */
  documents: (workspaceId: string): string => `documents:${workspaceId}`,
  /** Lists and counts of documents and tags. */
  lists: (workspaceId: string): string => `lists:${workspaceId}`,
  searches: (workspaceId: string): string => `searches:${workspaceId}`,
} as const;

/**
 * Something that was committed: documents (which, if they are few), names that documents show, a workspace, what a search
 * finds, or nobody knows what.
 */
export const cacheChange = z.object({
  kind: z.enum(['knowledge', 'names', 'workspace', 'search', 'everything']),
  workspaceId: z.string().optional(),
  ids: z.array(z.string()).nullish(),
});
export type CacheChange = Readonly<z.output<typeof cacheChange>>;

/** All that is kept of workspaces, whichever. */
const everything: readonly Invalidation[] = ['knowledge', 'knowledge-list', 'search', 'tag', 'workspace'].map(
  (entity) => ({ glob: `${entity}:*` }),
);

/** What no longer holds after it. */
export const invalidationsOf = ({ kind, workspaceId, ids }: CacheChange): readonly Invalidation[] => {
  if (kind === 'everything' || workspaceId === undefined) return everything;
  const searches = cacheTags.searches(workspaceId);
  const lists = cacheTags.lists(workspaceId);
  const documents = cacheTags.documents(workspaceId);
  switch (kind) {
    case 'knowledge':
      return ids
        ? [{ keys: ids.map((id) => CacheKeyBuilder.knowledge(workspaceId, id)) }, { tags: [lists, searches] }]
        : [{ tags: [documents, lists, searches] }];
    case 'names':
      return [{ tags: [documents, lists, searches] }];
    case 'workspace':
      return [{ keys: [CacheKeyBuilder.workspace(workspaceId)] }, { tags: [documents, lists, searches] }];
    case 'search':
      return [{ tags: [searches] }];
    default:
      return kind satisfies never;
  }
};

/** The domain events that may have led to it: rules are triggered by these names. */
export const eventsOf = ({ kind }: CacheChange): readonly string[] => {
  switch (kind) {
    case 'knowledge':
      return ['knowledge.created', 'knowledge.updated', 'knowledge.deleted'];
    case 'names':
      return ['tag.created', 'tag.updated', 'tag.deleted', 'collection.updated', 'collection.deleted', 'user.updated'];
    case 'workspace':
      return ['workspace.updated', 'workspace.deleted'];
    case 'search':
      return [];
    case 'everything':
      return [...eventsOf({ kind: 'knowledge' }), ...eventsOf({ kind: 'names' }), ...eventsOf({ kind: 'workspace' })];
    default:
      return kind satisfies never;
  }
};
