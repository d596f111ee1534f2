import { sql, type Kysely } from 'kysely';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { lineOfText } from '../../lib/text/storable.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { commonOf, type EntityRow, type EntityTable } from './entity-table.ts';
import { EntityStore, type Expectation } from './entity-store.ts';
import { sopInput, sopPatch, type ElementInput, type ElementPatch, type SopInput, type SopPatch } from './input.ts';
import type { NodeVectors } from './node-vectors.ts';
import type { Sop } from './types.ts';

interface SopRow extends EntityRow {
  readonly sop_id: string;
  readonly title: string;
  readonly content: string;
  readonly summary: string | null;
  readonly category: string | null;
  readonly status: Sop['status'];
  readonly node_position: Sop['position'];
  readonly node_metadata: Sop['metadata'];
  readonly author: string | null;
  readonly read_time: number | null;
  readonly search_keywords: readonly string[];
  readonly last_viewed_at: Date | null;
}

export const sops: EntityTable<Sop, SopRow> = {
  feature: 'knowledge-base',
  table: 'knowledge_base_sops',
  idColumn: 'sop_id',
  columns: {
    title: 'title',
    content: 'content',
    summary: 'summary',
    tags: 'tags',
    category: 'category',
    version: 'version',
    status: 'status',
    nodes: 'nodes_data',
    position: 'node_position',
    metadata: 'node_metadata',
    author: 'author',
    readTime: 'read_time',
    searchKeywords: 'search_keywords',
  },
  defaults: {
    summary: null,
    tags: [],
    category: null,
    version: '1.0.0',
    status: 'draft',
    nodes_data: [],
    node_position: { x: 0, y: 0 },
    node_metadata: {},
    author: null,
    read_time: null,
    search_keywords: [],
  },
  input: sopInput,
  patch: sopPatch,
  idOf: (row) => row.sop_id,
  toEntity: (row) => ({
    sopId: row.sop_id,
    ...commonOf(row),
    title: row.title,
    content: row.content,
    summary: row.summary,
    category: row.category,
    status: row.status,
    position: row.node_position,
    metadata: row.node_metadata,
    author: row.author,
    readTime: row.read_time,
    searchKeywords: row.search_keywords,
    lastViewedAt: row.last_viewed_at,
  }),
};

const words = lineOfText(500);

/** Standard operating procedures. Every method names the workspace. */
export class KnowledgeBaseRepository {
  readonly entities: EntityStore<Sop, SopRow>;
  readonly #db: Kysely<DB>;

  readonly #vectors: NodeVectors;

  constructor(db: Kysely<DB>, vectors: NodeVectors) {
    this.#db = db;
    this.#vectors = vectors;
    this.entities = new EntityStore(db, sops);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND for the workspace. */
  createSOP(workspaceId: string, sop: SopInput): Promise<Sop> {
    return this.entities.insertOne(workspaceId, sop);
  }

  getSOP(workspaceId: string, sopId: string): Promise<Sop | undefined> {
    return this.entities.find(workspaceId, sopId);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND, DATA_CONSISTENCY_ERROR when it has another revision by now. */
  updateSOP(workspaceId: string, sopId: string, updates: SopPatch, expected: Expectation = {}): Promise<Sop> {
    return this.entities.updateOne(workspaceId, { id: sopId, patch: updates, ...expected });
  }

  /** Marks it as deleted; its links go. @throws AppError NOT_FOUND, DATA_CONSISTENCY_ERROR. */
  deleteSOP(workspaceId: string, sopId: string, expected: Expectation = {}): Promise<void> {
    return this.entities.delete(workspaceId, [{ id: sopId, ...expected }]);
  }

  /** See {@link EntityStore.addElement}. */
  addNodeToKnowledgeBase(
    workspaceId: string,
    sopId: string,
    node: ElementInput,
    expected: Expectation = {},
  ): Promise<Sop> {
    return this.entities.addElement(workspaceId, sopId, node, expected);
  }

  /** See {@link EntityStore.updateElement}. */
  updateNodeInKnowledgeBase(
    workspaceId: string,
    sopId: string,
    change: Expectation & { readonly nodeId: string; readonly patch: ElementPatch },
  ): Promise<Sop> {
    return this.entities.updateElement(workspaceId, sopId, change);
  }

  /** See {@link EntityStore.removeElement}. */
  removeNodeFromKnowledgeBase(
    workspaceId: string,
    sopId: string,
    change: Expectation & { readonly nodeId: string },
  ): Promise<Sop> {
    return this.entities.removeElement(workspaceId, sopId, change);
  }

  /**
   * What holds all words of the query in title, summary or content, or has it as a keyword; best first, 50 at most.
   * @throws AppError VALIDATION_ERROR.
   */
  async searchSOPs(workspaceId: string, query: string): Promise<readonly Sop[]> {
    const text = parseOrThrow(words, query, 'the query');
    if (!isUuid(workspaceId)) return [];
    const { rows } = await sql<SopRow>`
      WITH asked AS (SELECT plainto_tsquery('pg_catalog.english', treadle.search_text(${text})) AS words)
      SELECT sop.* FROM treadle.knowledge_base_sops AS sop, asked
      WHERE workspace_id = ${workspaceId} AND deleted_at IS NULL
        AND (treadle.search_vector(title, coalesce(summary, ''), content) @@ words OR search_keywords @> ARRAY[${text}])
      ORDER BY (search_keywords @> ARRAY[${text}]) DESC,
        ts_rank(treadle.search_vector(title, coalesce(summary, ''), content), words) DESC, sop_id
      LIMIT 50`.execute(this.#db);
    return rows.map(sops.toEntity);
  }

  /** Keeps the vector of an SOP until it is deleted. @throws AppError VALIDATION_ERROR, NOT_FOUND. */
  updateVectorEmbedding(workspaceId: string, sopId: string, embedding: readonly number[]): Promise<void> {
    return this.#vectors.updateVectorEmbedding(
      workspaceId,
      { featureType: 'knowledge-base', entityId: sopId },
      embedding,
    );
  }

  /** By title. */
  async getSOPsByCategory(workspaceId: string, category: string): Promise<readonly Sop[]> {
    if (!isUuid(workspaceId)) return [];
    const { rows } = await sql<SopRow>`SELECT * FROM treadle.knowledge_base_sops
      WHERE workspace_id = ${workspaceId} AND category = ${category} AND deleted_at IS NULL
      ORDER BY title, sop_id LIMIT 1000`.execute(this.#db);
    return rows.map(sops.toEntity);
  }

  /** Notes that somebody has read it, which is no change. */
  async recordView(workspaceId: string, sopId: string): Promise<void> {
    if (!isUuid(workspaceId) || !isUuid(sopId)) return;
    await sql`UPDATE treadle.knowledge_base_sops SET last_viewed_at = clock_timestamp()
      WHERE workspace_id = ${workspaceId} AND sop_id = ${sopId} AND deleted_at IS NULL`.execute(this.#db);
  }
}
