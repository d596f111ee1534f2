import type { CacheChange } from '../../domain/caching/cache-change.ts';
import { cacheChannel } from '../../domain/caching/cache-feed.ts';
import { requireReached, type CacheInvalidation } from '../../domain/caching/cache-invalidation.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { PublishedTable } from '../../lib/replication/requirements.ts';
import type { ReadColumn, Watch } from '../../lib/replication/watch.ts';
import { awaitVisible } from '../await-visible.ts';
import type { AppliedBatch, QueuedEntity, Sink } from '../change-batch.ts';

export interface CacheSinkParts {
  /** The primary. */
  readonly db: Queryable;
  readonly invalidation: CacheInvalidation;
}

const schema = 'treadle';
const documentKind = 'document';
const namesKind = 'names';
const userKind = 'user';
const workspaceKind = 'workspace';
const searchKind = 'search';
/** Of more documents of one workspace it is not said which they are. */
const mostIds = 1_000;

const text = (row: ReadColumn, column: string): string => row(column) ?? '';

const watch = (
  table: string,
  kind: string,
  read: (row: ReadColumn) => { readonly workspaceId: string; readonly id: string },
): Watch => ({ schema, table, kinds: [kind], entitiesOf: (row) => [{ kind, ...read(row) }] });

const watches: readonly Watch[] = [
  watch('knowledge', documentKind, (row) => ({ workspaceId: text(row, 'workspace_id'), id: text(row, 'id') })),
  watch('knowledge_tags', documentKind, (row) => ({
    workspaceId: text(row, 'workspace_id'),
    id: text(row, 'knowledge_id'),
  })),
  watch('tags', namesKind, (row) => ({ workspaceId: text(row, 'workspace_id'), id: '' })),
  watch('collections', namesKind, (row) => ({ workspaceId: text(row, 'workspace_id'), id: '' })),
  watch('users', userKind, (row) => ({ workspaceId: '', id: text(row, 'id') })),
  watch('workspaces', workspaceKind, (row) => ({ workspaceId: text(row, 'id'), id: '' })),
  watch('embedded_entities', searchKind, (row) => ({ workspaceId: text(row, 'workspace_id'), id: '' })),
];

/** What has to be published beside the tables of the index of documents. */
export const cacheTables: readonly PublishedTable[] = [
  {
    schema,
    table: 'collections',
    identity: ['workspace_id', 'id'],
    columns: ['workspace_id', 'id'],
    published: ['workspace_id', 'id'],
  },
  { schema, table: 'workspaces', identity: ['id'], columns: ['id'], published: ['id'] },
];

const workspacesOf = (entities: readonly QueuedEntity[], kind: string): ReadonlySet<string> =>
  new Set(entities.filter((entity) => entity.kind === kind && entity.workspaceId !== '').map((e) => e.workspaceId));

/** Has caches forget what no longer holds, whoever changed it. A batch is taken only when all of them could be told. */
export class CacheSink implements Sink {
  readonly name = 'cache';
  readonly watches = watches;
  readonly #parts: CacheSinkParts;

  constructor(parts: CacheSinkParts) {
    this.#parts = parts;
  }

  async apply({ entities, truncated, xids }: AppliedBatch, signal: AbortSignal): Promise<void> {
    if (entities.length === 0 && truncated.length === 0) return;
    // Whoever reads again before that would keep what was.
    await awaitVisible(this.#parts.db, xids, signal);
    const changes = truncated.length > 0 ? [{ kind: 'everything' } as const] : await this.#changesOf(entities);
    await this.#tell(changes, signal);
  }

  startOver(signal: AbortSignal): Promise<void> {
    return this.#tell([{ kind: 'everything' }], signal);
  }

  async #changesOf(entities: readonly QueuedEntity[]): Promise<readonly CacheChange[]> {
    const documents = new Map<string, string[]>();
    for (const { kind, workspaceId, id } of entities) {
      if (kind === documentKind) documents.set(workspaceId, [...(documents.get(workspaceId) ?? []), id]);
    }
    const renamed = new Set([...workspacesOf(entities, namesKind), ...(await this.#showingUsers(entities))]);
    const searched = workspacesOf(entities, searchKind);
    return [
      ...Array.from(documents, ([workspaceId, ids]): CacheChange => ({
        kind: 'knowledge',
        workspaceId,
        ids: ids.length > mostIds ? null : ids,
      })),
      ...Array.from(renamed, (workspaceId): CacheChange => ({ kind: 'names', workspaceId })),
      ...Array.from(workspacesOf(entities, workspaceKind), (workspaceId): CacheChange => ({
        kind: 'workspace',
        workspaceId,
      })),
      ...Array.from(searched, (workspaceId): CacheChange => ({ kind: 'search', workspaceId })),
    ];
  }

  async #showingUsers(entities: readonly QueuedEntity[]): Promise<readonly string[]> {
    const ids = entities.filter(({ kind }) => kind === userKind).map(({ id }) => id);
    if (ids.length === 0) return [];
    const { rows } = await this.#parts.db.query<{ id: string }>(
      'SELECT DISTINCT workspace_id::text AS id FROM treadle.workspace_members WHERE user_id = ANY ($1::uuid[])',
      [ids],
    );
    return rows.map(({ id }) => id);
  }

  async #tell(changes: readonly CacheChange[], signal: AbortSignal): Promise<void> {
    const { db, invalidation } = this.#parts;
    for (const change of changes) {
      signal.throwIfAborted();
      requireReached(await invalidation.handleChange(change));
      // Rules lie in the processes of apps. Which documents they are no rule asks.
      const said = JSON.stringify({ ...change, ids: null, told: true });
      await db.query('SELECT pg_notify($1, $2)', [cacheChannel, said]);
    }
  }
}
