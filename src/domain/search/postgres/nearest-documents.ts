import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { signBits } from '../../embeddings/sign-bits.ts';
import { vectorText } from '../../embeddings/vector-text.ts';
import { mostCandidates } from '../cut-page.ts';
import type { SearchFilters } from '../types.ts';
import type { RankedDocument } from './count-and-rank.ts';
import { filterConditions, hasFilters } from './match-conditions.ts';
import { SqlValues } from './sql-builder.ts';

/** A document by its nearest chunk; the places are characters of its content. */
export interface NearDocument extends RankedDocument {
  readonly chunkStart: number;
  readonly chunkEnd: number;
}

export interface NearRequest {
  readonly workspaceId: string;
  readonly model: string;
  readonly vector: Float32Array;
  readonly filters: SearchFilters;
}

interface Row {
  readonly id: string;
  readonly score: number;
  readonly updated_at: string;
  readonly title_key: string;
  readonly chunk_start: number;
  readonly chunk_end: number;
}

/** Of the 1,000 chunks nearest to the vector that pass the filters: their documents, nearest first. */
export const nearestDocuments = async (db: Queryable, request: NearRequest): Promise<readonly NearDocument[]> => {
  const { workspaceId, model, vector, filters } = request;
  const values = new SqlValues();
  const query = [workspaceId, 'knowledge', model].map((value) => values.add(value));
  const among = hasFilters(filters)
    ? `ARRAY(SELECT s.document_id FROM treadle.search_documents AS s WHERE ${filterConditions(workspaceId, filters, values)})`
    : 'NULL';
  const { rows } = await db.query<Row>(
    `WITH best AS (
       SELECT DISTINCT ON (entity_id) entity_id, chunk_start, chunk_end, score
       FROM treadle.nearest_chunks(${query.join(', ')}, ${values.add(vectorText(vector))}::real[],
         ${values.add(signBits(vector))}::bit varying, ${mostCandidates}, ${among})
       ORDER BY entity_id, score DESC, chunk_start
     )
     SELECT s.document_id AS id, best.score, s.updated_at::text AS updated_at, s.title_key, best.chunk_start, best.chunk_end
     FROM best JOIN treadle.search_documents AS s ON s.document_id = best.entity_id
     WHERE best.score > 0
     ORDER BY best.score DESC, s.document_id DESC`,
    values.list,
  );
  return rows.map((row) => ({
    id: row.id,
    score: row.score,
    updatedAt: row.updated_at,
    titleKey: row.title_key,
    chunkStart: row.chunk_start,
    chunkEnd: row.chunk_end,
  }));
};
