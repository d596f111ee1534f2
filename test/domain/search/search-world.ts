import { SearchService } from '../../../src/domain/search/search-service.ts';
import { PostgresSearch } from '../../../src/domain/search/postgres/postgres-search.ts';
import { EmbeddingService } from '../../../src/domain/embeddings/embedding-service.ts';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import type { Embedder } from '../../../src/domain/embeddings/embedder.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { ElasticsearchSearch } from '../../../src/domain/search/elasticsearch/elasticsearch-search.ts';
import type { SearchBackend } from '../../../src/domain/search/search-port.ts';
import type { TestDatabase } from '../../services/database.ts';
import type { TestIndex } from '../../services/elasticsearch.ts';

export interface WrittenDocument {
  readonly title: string;
  readonly content?: string;
  readonly excerpt?: string;
  readonly status?: 'draft' | 'published' | 'archived';
  readonly tags?: readonly string[];
  readonly authorId?: string;
  readonly createdAt?: string;
}

export interface SearchWorldOptions {
  readonly embedder?: Embedder;
  /** Searches go there; without it to Postgres. */
  readonly searched?: TestIndex | undefined;
  /** Postgres answers when Elasticsearch can't. */
  readonly withFallback?: boolean;
}

/** Workspaces and documents written in plain SQL, and the services over them. */
export class SearchWorld {
  readonly #database: TestDatabase;
  readonly #embedder: Embedder;
  readonly #options: SearchWorldOptions;
  readonly #workspaces: string[] = [];

  constructor(database: TestDatabase, options: SearchWorldOptions = {}) {
    this.#database = database;
    this.#embedder = options.embedder ?? new LocalEmbedder();
    this.#options = options;
  }

  /** The same searched with another embedder. */
  with(embedder: Embedder): SearchWorld {
    return new SearchWorld(this.#database, { ...this.#options, embedder });
  }

  get backend(): SearchBackend {
    const { searched } = this.#options;
    return searched
      ? new ElasticsearchSearch({ ...searched, definition: searched.index.definition, model: searched.model })
      : new PostgresSearch(this.#database.postgres);
  }

  /** Lets searches see what was written; Postgres does at once. */
  async settle(): Promise<void> {
    const { searched } = this.#options;
    for (const workspace of searched ? this.#workspaces : []) await searched?.index.reindexWorkspace(workspace);
    await searched?.index.refresh();
  }

  get embeddings(): EmbeddingService {
    return new EmbeddingService(this.#database.postgres, this.#embedder, createLog({ level: 'silent' }));
  }

  get search(): SearchService {
    return new SearchService({
      postgres: this.#database.postgres,
      backend: this.backend,
      fallback: this.#options.withFallback ? new PostgresSearch(this.#database.postgres) : undefined,
      embedder: this.embeddings,
      log: createLog({ level: 'silent' }),
      embedTimeoutMs: 500,
    });
  }

  async workspace(name = `w-${Math.random().toString(36).slice(2)}`): Promise<string> {
    const [row] = await this.#database.query<{ id: string }>(
      'INSERT INTO treadle.workspaces (name) VALUES ($1) RETURNING id',
      [name],
    );
    this.#workspaces.push(row?.id ?? '');
    return row?.id ?? '';
  }

  async author(workspaceId: string, name: string): Promise<string> {
    const [row] = await this.#database.query<{ id: string }>(
      'INSERT INTO treadle.users (workspace_id, name) VALUES ($1, $2) RETURNING id',
      [workspaceId, name],
    );
    return row?.id ?? '';
  }

  async write(workspaceId: string, document: WrittenDocument): Promise<string> {
    const [row] = await this.#database.query<{ id: string }>(
      `INSERT INTO treadle.knowledge (workspace_id, title, content, excerpt, status, author_id, created_at)
       VALUES ($1, $2, $3, $4, $5, $6, coalesce($7::timestamptz, now())) RETURNING id`,
      [
        workspaceId,
        document.title,
        document.content ?? '',
        document.excerpt ?? '',
        document.status ?? 'published',
        document.authorId ?? null,
        document.createdAt ?? null,
      ],
    );
    const id = row?.id ?? '';
    if (document.tags?.length) {
      await this.#database.query(
        `WITH made AS (
           INSERT INTO treadle.tags (workspace_id, name) SELECT $1, name FROM unnest($2::text[]) AS name
           ON CONFLICT (workspace_id, name) DO UPDATE SET name = excluded.name RETURNING id
         ) INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id) SELECT $1, $3, id FROM made`,
        [workspaceId, document.tags, id],
      );
    }
    return id;
  }

  /** Embeds every document of the workspace, as the jobs would. */
  async embed(workspaceId: string): Promise<void> {
    const rows = await this.#database.query<{
      id: string;
      workspaceId: string;
      title: string;
      excerpt: string;
      content: string;
      version: number;
    }>(
      'SELECT id, workspace_id AS "workspaceId", title, excerpt, content, version FROM treadle.knowledge WHERE workspace_id = $1',
      [workspaceId],
    );
    const service = this.embeddings;
    for (const row of rows) await service.refresh(row);
  }
}
