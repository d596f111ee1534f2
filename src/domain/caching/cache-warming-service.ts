import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../lib/log/create-log.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { notFound } from '../../lib/errors/app-error.ts';
import type { KnowledgeService } from '../knowledge/service.ts';
import type { TagService } from '../knowledge/tag-service.ts';
import type { WorkspaceService } from '../workspaces/service.ts';
import type { WorkspaceCache } from './workspace-cache.ts';

export interface CacheWarmingParts {
  readonly postgres: Queryable;
  readonly cache: WorkspaceCache;
  readonly knowledge: Pick<KnowledgeService, 'findById' | 'findByWorkspace'>;
  readonly tags: Pick<TagService, 'popular'>;
  readonly workspaces: Pick<WorkspaceService, 'findById'>;
  /** Workspaces that were searched since then. */
  readonly searchedSince: (time: Date) => Promise<readonly string[]>;
  /** Has these workspaces warmed by jobs. */
  readonly enqueue: (workspaceIds: readonly string[]) => Promise<void>;
  readonly log: Log;
  /** 50 by default. */
  readonly readsPerSecond?: number;
}

export interface WarmOptions {
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((fraction: number, message: string) => void) | undefined;
}

export interface Warmed {
  /** Documents that were read. */
  readonly documents: number;
  /** Documents that were known already. */
  readonly fresh: number;
  readonly tags: number;
}

const recentDocuments = 50;
const popularTags = 20;
const activeMs = 7 * 86_400_000;
const dueAtOnce = 10_000;

/** Its hour of the night: two o'clock, by the workspace's own clock, the last time that this was. */
const lastNight = `(date_trunc('day', ($1::timestamptz AT TIME ZONE w.time_zone) - interval '2 hours') + interval '2 hours')
  AT TIME ZONE w.time_zone`;

/** Reads what will be asked for before somebody does. */
export class CacheWarmingService {
  readonly #parts: CacheWarmingParts;

  constructor(parts: CacheWarmingParts) {
    this.#parts = parts;
  }

  /**
   * Reads the workspace, its 20 most popular tags, its latest documents and the 50 that were changed last, as far as they are
   * not known yet, a bounded number a second.
   * @throws AppError NOT_FOUND; the abort reason of `signal`.
   */
  async warmWorkspaceCache(workspaceId: string, { signal, progress }: WarmOptions = {}): Promise<Warmed> {
    const { cache, knowledge, tags, workspaces, log } = this.#parts;
    if (!(await workspaces.findById(workspaceId))) throw notFound('workspace', workspaceId);
    await this.#pause(signal);
    const popular = await tags.popular(workspaceId, popularTags);
    await this.#pause(signal);
    await knowledge.findByWorkspace(workspaceId);
    await this.#pause(signal);
    const recent = await this.#recentDocuments(workspaceId);
    const missing = await cache.missingDocuments(workspaceId, recent);
    let read = 0;
    for (const id of missing) {
      await this.#pause(signal);
      await knowledge.findById(workspaceId, id);
      read += 1;
      progress?.(read / missing.length, `${read} of ${missing.length} documents`);
    }
    await this.#note(workspaceId);
    const warmed = { documents: read, fresh: recent.length - missing.length, tags: popular.length };
    log.info({ event: 'cache.warmed', workspaceId, ...warmed });
    return warmed;
  }

  /**
   * Has those workspaces warmed for which it was two o'clock in the night since they last were, if they were written to or
   * searched in the last seven days; answers how many. To be called each hour.
   */
  async scheduleRegularWarming({ now = new Date() }: { readonly now?: Date } = {}): Promise<number> {
    const due = await this.#workspaces(now, `coalesce(c.warmed_at, w.created_at) < ${lastNight}`);
    if (due.length > 0) await this.#parts.enqueue(due);
    return due.length;
  }

  /** Warms, one after the other, all workspaces that were written to or searched in the last seven days. */
  async warmActive({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const active = await this.#workspaces(new Date(), 'true');
    for (const workspaceId of active) await this.warmWorkspaceCache(workspaceId, { signal });
    return active.length;
  }

  async #workspaces(now: Date, condition: string): Promise<readonly string[]> {
    const { postgres, searchedSince } = this.#parts;
    const since = new Date(now.getTime() - activeMs);
    const searched = await searchedSince(since).catch((error: unknown) => {
      this.#parts.log.warn({ event: 'cache.searches-not-read', err: error });
      return [];
    });
    const { rows } = await postgres.query<{ id: string }>(
      `SELECT w.id::text AS id FROM treadle.workspaces AS w LEFT JOIN treadle.cache_warmings AS c ON c.workspace_id = w.id
       WHERE (w.id = ANY ($2::uuid[])
           OR EXISTS (SELECT FROM treadle.knowledge AS k WHERE k.workspace_id = w.id AND k.updated_at > $3))
         AND $1::timestamptz IS NOT NULL AND ${condition}
       ORDER BY c.warmed_at NULLS FIRST, w.id LIMIT ${dueAtOnce}`,
      [now, searched, since],
    );
    return rows.map(({ id }) => id);
  }

  async #recentDocuments(workspaceId: string): Promise<readonly string[]> {
    const { rows } = await this.#parts.postgres.query<{ id: string }>(
      `SELECT id::text AS id FROM treadle.knowledge WHERE workspace_id = $1
       ORDER BY updated_at DESC, id DESC LIMIT ${recentDocuments}`,
      [workspaceId],
    );
    return rows.map(({ id }) => id);
  }

  /** Of a workspace that was deleted meanwhile nothing is noted. */
  async #note(workspaceId: string): Promise<void> {
    await this.#parts.postgres.query(
      `INSERT INTO treadle.cache_warmings (workspace_id) SELECT id FROM treadle.workspaces WHERE id = $1
       ON CONFLICT (workspace_id) DO UPDATE SET warmed_at = clock_timestamp()`,
      [workspaceId],
    );
  }

  async #pause(signal: AbortSignal | undefined): Promise<void> {
    const { readsPerSecond = 50 } = this.#parts;
    await delay(1_000 / readsPerSecond, undefined, signal ? { signal } : {});
  }
}
