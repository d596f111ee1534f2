import { queryOften, type Queryable } from '../../../lib/postgres/queryable.ts';
import type { KnowledgeStatus } from '../../knowledge/types.ts';
import type { IndexedModel } from './definition.ts';
import { vectorsIn, type Chunk } from './vector-json.ts';

/** A document as it lies in Postgres, with everything that is searched of it. */
export interface StoredDocument {
  readonly id: string;
  readonly workspace_id: string;
  readonly title: string;
  readonly excerpt: string;
  readonly content: string;
  readonly status: KnowledgeStatus;
  readonly author: string | null;
  readonly author_name: string | null;
  readonly collection_id: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly tags: readonly string[];
  readonly chunks: readonly Chunk[];
}

/** Which documents: these, those of a workspace, or all; in the order of their ids, those behind `after`. */
export interface DocumentPage {
  readonly workspaceId?: string | undefined;
  readonly ids?: readonly string[] | undefined;
  readonly after?: string | undefined;
}

const mostDocuments = { scanned: 250, asked: 2_000 };
const mostBytes = 8 * 1_048_576;
/** What a number of a vector takes as text. */
const bytesPerNumber = 12;

interface ReadRow extends Omit<StoredDocument, 'chunks'> {
  readonly openings: readonly string[];
  readonly vectors: string | null;
}

const withChunks = ({ openings, vectors, ...document }: ReadRow): StoredDocument => ({
  ...document,
  chunks: vectorsIn(vectors).map((vector, place) => ({ opening: openings[place] ?? '', vector })),
});

/**
 * The next documents of a page, with tags, author and the model's vectors, in one statement and so of one moment: up to
 * 250, or 2,000 that were asked for, or 8 MiB and one more. None when there are no more.
 */
export const readDocuments = async (
  db: Queryable,
  { model, dimensions }: IndexedModel,
  { workspaceId, ids, after }: DocumentPage,
): Promise<readonly StoredDocument[]> => {
  const { rows } = await queryOften<ReadRow>(
    db,
    `WITH sized AS (
       SELECT k.workspace_id, k.id, octet_length(k.content) + coalesce(e.chunks, 0) * $2::bigint * ${bytesPerNumber} AS bytes
       FROM treadle.knowledge AS k
       LEFT JOIN treadle.embedded_entities AS e ON e.entity_type = 'knowledge' AND e.entity_id = k.id AND e.model = $1
       WHERE ${workspaceId === undefined ? '$3::uuid IS NULL' : 'k.workspace_id = $3'}
         AND ${ids === undefined ? '$4::uuid[] IS NULL' : 'k.id = ANY ($4::uuid[])'}
         AND ${after === undefined ? '$5::uuid IS NULL' : 'k.id > $5::uuid'}
       ORDER BY k.id LIMIT ${ids === undefined ? mostDocuments.scanned : mostDocuments.asked}
     ), page AS (
       SELECT workspace_id, id FROM (SELECT *, sum(bytes) OVER (ORDER BY id) - bytes AS bytes_before FROM sized) AS summed
       WHERE bytes_before < ${mostBytes}
     ), tagged AS (
       SELECT page.id, array_agg(t.name ORDER BY t.name) AS tags
       FROM page JOIN treadle.knowledge_tags AS kt ON kt.workspace_id = page.workspace_id AND kt.knowledge_id = page.id
       JOIN treadle.tags AS t ON t.workspace_id = kt.workspace_id AND t.id = kt.tag_id
       GROUP BY page.id
     )
     SELECT k.id, k.workspace_id, k.title, k.excerpt, k.content, k.status, k.author_id AS author, u.name AS author_name,
       k.collection_id, k.created_at, k.updated_at, coalesce(tagged.tags, '{}') AS tags,
       chunked.openings, chunked.vectors
     FROM page JOIN treadle.knowledge AS k ON k.id = page.id
     LEFT JOIN treadle.users AS u ON u.id = k.author_id LEFT JOIN tagged ON tagged.id = k.id
     CROSS JOIN LATERAL (
       SELECT coalesce(json_agg(substr(k.content, e.chunk_start + 1, least(e.chunk_end - e.chunk_start, 400)) ORDER BY e.chunk_index), '[]') AS openings,
         string_agg(e.vector::real[]::text, ' ' ORDER BY e.chunk_index) AS vectors
       FROM treadle.embeddings AS e
       WHERE e.entity_type = 'knowledge' AND e.entity_id = k.id AND e.model = $1 AND e.dimensions = $2::integer
     ) AS chunked
     ORDER BY k.id`,
    [model, dimensions, workspaceId ?? null, ids ?? null, after ?? null],
  );
  return rows.map(withChunks);
};
