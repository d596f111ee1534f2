import { createHash } from 'node:crypto';

const part = (value: string | number): string => String(value).replaceAll(':', '%3A');

/** Text without a rule for its order gives the same hash however it was put together. */
const ordered = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, ordered(inner)]),
  );
};

/** A short text that is equal for equal parameters, in whichever order their fields are. */
const hashOf = (parameters: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(ordered(parameters)) ?? '')
    .digest('base64url')
    .slice(0, 32);

/** What a search depends on beside its words. */
export interface SearchKeyParts {
  readonly workspaceId: string;
  readonly query: string;
  readonly mode: string;
  readonly filters: unknown;
  /** Order, page and whatever else the answer depends on. */
  readonly page?: unknown;
  /** What the one who asks may see; equal for those who may see the same. */
  readonly permissions?: readonly string[] | undefined;
}

/** Keys in one form: `entity:id`, or `entity:operation:params`. What belongs to a workspace names it. */
export const CacheKeyBuilder = {
  entity: (entity: string, ...parts: readonly (string | number)[]): string => [entity, ...parts.map(part)].join(':'),
  knowledge: (workspaceId: string, id: string): string => `knowledge:${part(workspaceId)}:${part(id)}`,
  knowledgeList: (workspaceId: string, parameters: unknown): string =>
    `knowledge-list:${part(workspaceId)}:${typeof parameters === 'string' ? part(parameters) : hashOf(parameters)}`,
  search: ({ workspaceId, permissions = [], ...parts }: SearchKeyParts): string =>
    `search:${part(workspaceId)}:${hashOf({ ...parts, permissions: permissions.toSorted() })}`,
  workspace: (workspaceId: string, operation = 'metadata'): string =>
    `workspace:${part(workspaceId)}:${part(operation)}`,
  tag: (workspaceId: string, operation = 'popular'): string => `tag:${part(workspaceId)}:${part(operation)}`,
  session: (id: string): string => `session:${part(id)}`,
} as const;
