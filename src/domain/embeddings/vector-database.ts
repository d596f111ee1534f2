import { createHash } from 'node:crypto';
import { z } from 'zod';
import { notFound, validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { EmbeddingRepository } from './embedding-repository.ts';
import { signBits } from './sign-bits.ts';
import {
  directionOf,
  vector as vectorSchema,
  vectorId,
  vectorInput,
  vectorLimit,
  vectorScope,
  type VectorInput,
  type VectorScope,
} from './vector-input.ts';
import type { EmbeddingDatabase } from './types.ts';
import { vectorText } from './vector-text.ts';

export interface VectorMatch {
  readonly id: string;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** Cosine, -1 to 1. */
  readonly similarity: number;
}

/** All of them lie beside each other under one name; vectors of different lengths never meet. */
const model = 'vectors';
const mostVectors = 1_000;
const mostQueries = 100;

const typeOf = (namespace: string): string => `vectors:${namespace}`;

const upsert = `
  INSERT INTO treadle.embeddings AS known (workspace_id, entity_type, entity_id, model, dimensions, chunk_index, chunk_start, chunk_end,
    content_hash, bits, vector, vector_id, metadata)
  SELECT space.workspace_id, $3, treadle.vector_entity(space.workspace_id, space.namespace, given.id), $4, space.dimensions, 0, 0, 0,
    given.hash, given.bits::bit varying, given.vector::real[], given.id, given.metadata::jsonb
  FROM treadle.vector_namespaces AS space,
    unnest($6::text[], $7::bytea[], $8::text[], $9::text[], $10::text[]) AS given (id, hash, bits, vector, metadata)
  WHERE space.workspace_id = $1 AND space.namespace = $2 AND space.dimensions = $5
  FOR KEY SHARE OF space
  ON CONFLICT (entity_type, entity_id, model, chunk_index) DO UPDATE SET dimensions = excluded.dimensions,
    content_hash = excluded.content_hash, bits = excluded.bits, vector = excluded.vector, metadata = excluded.metadata`;

const nearest = `
  SELECT space.dimensions, found.* FROM treadle.vector_namespaces AS space
  LEFT JOIN LATERAL (
    SELECT asked.place::integer AS place, stored.vector_id AS id, stored.metadata, least(1, greatest(-1, near.score)) AS score
    FROM unnest($6::text[], $7::text[]) WITH ORDINALITY AS asked (vector, bits, place)
    CROSS JOIN LATERAL treadle.nearest_chunks($1, $3, $4, asked.vector::real[], asked.bits::bit varying, $8,
      exact => greatest(200, $8)) AS near
    JOIN treadle.embeddings AS stored ON stored.entity_type = $3 AND stored.entity_id = near.entity_id
      AND stored.model = $4 AND stored.chunk_index = near.chunk_index
    ORDER BY asked.place, near.score DESC, stored.vector_id
  ) AS found ON space.dimensions = $5
  WHERE space.workspace_id = $1 AND space.namespace = $2`;

interface FoundRow {
  readonly dimensions: number;
  /** Null where nothing is near. */
  readonly place: number | null;
  readonly id: string;
  readonly metadata: VectorMatch['metadata'];
  readonly score: number;
}

type Parsed = z.output<typeof vectorInput>;
type ParsedScope = z.output<typeof vectorScope>;

const wrongLength = (paths: readonly string[], expected: number) =>
  validationError(
    'the vectors',
    paths.map((path) => ({ path, message: `must have ${expected} numbers, as all of its namespace` })),
  );

/** Refuses lists of vectors of several lengths, and ids named twice. */
const checkAlike = (vectors: readonly Parsed[]): void => {
  const length = vectors[0]?.vector.length ?? 0;
  const seen = new Set<string>();
  const faults = vectors.flatMap(({ id, vector }, index) => {
    const twice = seen.has(id);
    seen.add(id);
    return [
      ...(vector.length === length
        ? []
        : [{ path: `vectors[${index}].vector`, message: `must have ${length} numbers, as the first`, index }]),
      ...(twice ? [{ path: `vectors[${index}].id`, message: 'is of another vector of the batch', index }] : []),
    ];
  });
  if (faults.length > 0) throw validationError('the vectors', faults);
};

/**
 * Vectors of an app's own, looked up by cosine. Each lies in a namespace of a workspace, under an id of the app's; what
 * stores them, pgvector or Treadle's own bits, is the same to whoever asks.
 */
export class VectorDatabase {
  readonly #db: EmbeddingDatabase;
  readonly #log: Log;

  constructor(db: EmbeddingDatabase, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  /**
   * Keeps a vector, in place of the one that has this id. `holding` runs in front of it in the same transaction, and what it
   * throws is thrown: it may hold what the vector is of, so that this cannot go meanwhile.
   * @throws AppError VALIDATION_ERROR naming `vector` and what else is wrong; NOT_FOUND for the workspace.
   */
  async insertVector(
    scope: VectorScope,
    given: VectorInput,
    { holding }: { readonly holding?: ((tx: Queryable) => Promise<void>) | undefined } = {},
  ): Promise<void> {
    const input = parseOrThrow(vectorInput, given, 'the vector');
    const parsed = this.#scope(scope);
    const upsertHeld = async (tx: Queryable): Promise<boolean> => {
      await holding?.(tx);
      return this.#upsert(tx, parsed, [input]);
    };
    await this.#insert(parsed, input.vector.length, ['vector'], () =>
      holding ? this.#db.transaction(upsertHeld, { name: 'vectors.insert' }) : upsertHeld(this.#db),
    );
  }

  /** As {@link insertVector} for up to 1,000 in one statement: all of them or, with every fault (`vectors[3].vector`), none. */
  async batchInsert(scope: VectorScope, given: readonly VectorInput[]): Promise<void> {
    const parsed = this.#scope(scope);
    const { vectors } = parseOrThrow(batchSchema, { vectors: given }, 'the vectors');
    checkAlike(vectors);
    const paths = vectors.map((_, index) => `vectors[${index}].vector`);
    await this.#insert(parsed, vectors[0]?.vector.length ?? 0, paths, () => this.#upsert(this.#db, parsed, vectors));
  }

  /** Puts another vector in place of the one there; its metadata stays. @throws as {@link insertVector}, NOT_FOUND for the id. */
  async updateVector(scope: VectorScope, id: string, given: readonly number[]): Promise<void> {
    const { workspaceId, namespace } = this.#scope(scope);
    const { vector } = parseOrThrow(
      z.strictObject({ id: vectorId, vector: vectorSchema }),
      { id, vector: given },
      'the vector',
    );
    const { hash, bits, text } = storable(vector);
    const { rows } = await this.#db.query<{ dimensions: number; changed: boolean }>(
      `WITH changed AS (
         UPDATE treadle.embeddings SET content_hash = $6, bits = $7::text::bit varying, vector = $8::text::real[]
         WHERE entity_type = $3 AND entity_id = treadle.vector_entity($1, $2, $4) AND model = '${model}' AND chunk_index = 0
           AND dimensions = $5
         RETURNING 1)
       SELECT dimensions, EXISTS (SELECT FROM changed) AS changed FROM treadle.embeddings
       WHERE entity_type = $3 AND entity_id = treadle.vector_entity($1, $2, $4) AND model = '${model}' AND chunk_index = 0`,
      [workspaceId, namespace, typeOf(namespace), id, vector.length, hash, bits, text],
    );
    const [row] = rows;
    if (!row) throw notFound('vector', id);
    if (!row.changed) throw wrongLength(['vector'], row.dimensions);
  }

  /** Whether it was there. */
  async deleteVector(scope: VectorScope, id: string): Promise<boolean> {
    const { workspaceId, namespace } = this.#scope(scope);
    parseOrThrow(z.strictObject({ id: vectorId }), { id }, 'the vector');
    const { rowCount } = await this.#db.query(
      `DELETE FROM treadle.embeddings WHERE entity_type = $3 AND entity_id = treadle.vector_entity($1, $2, $4) AND model = '${model}'`,
      [workspaceId, namespace, typeOf(namespace), id],
    );
    return rowCount === 1;
  }

  /** Takes all vectors of a namespace away: its next first one may have another length. Whether there was one. */
  async deleteNamespace(scope: VectorScope): Promise<boolean> {
    const { workspaceId, namespace } = this.#scope(scope);
    const { rowCount } = await this.#db.query(
      'DELETE FROM treadle.vector_namespaces WHERE workspace_id = $1 AND namespace = $2',
      [workspaceId, namespace],
    );
    return rowCount === 1;
  }

  /** The vectors nearest to this one, best first: 10, at most 1,000. @throws AppError VALIDATION_ERROR. */
  async searchVectors(scope: VectorScope, query: readonly number[], limit = 10): Promise<readonly VectorMatch[]> {
    const parsed = this.#scope(scope);
    const request = parseOrThrow(
      z.strictObject({ vector: vectorSchema, limit: vectorLimit }),
      { vector: query, limit },
      'the search',
    );
    const [found = []] = await this.#nearest(parsed, [request.vector], limit, ['vector']);
    return found;
  }

  /** As {@link searchVectors} for up to 100 vectors at once, in one round trip; answers in their order. */
  async batchSearch(
    scope: VectorScope,
    queries: readonly (readonly number[])[],
    limit = 10,
  ): Promise<readonly (readonly VectorMatch[])[]> {
    const parsed = this.#scope(scope);
    const { vectors } = parseOrThrow(searchesSchema, { vectors: queries, limit }, 'the searches');
    const paths = vectors.map((_, index) => `vectors[${index}]`);
    const odd = paths.filter((_, index) => vectors[index]?.length !== vectors[0]?.length);
    if (odd.length > 0) throw wrongLength(odd, vectors[0]?.length ?? 0);
    return this.#nearest(parsed, vectors, limit, paths);
  }

  #scope(scope: VectorScope): ParsedScope {
    return parseOrThrow(vectorScope, scope, 'the scope');
  }

  async #insert(
    scope: ParsedScope,
    length: number,
    paths: readonly string[],
    upsertAll: () => Promise<boolean>,
  ): Promise<void> {
    // A namespace may be deleted by others between the two.
    for (let attempt = 0; attempt < 3; attempt += 1) {
      if (await upsertAll()) return;
      await this.#open(scope, length, paths);
    }
    throw new Error('the namespace was deleted while vectors were added to it');
  }

  /**
   * Sees to it that the namespace is there for vectors of this length.
   * @throws AppError VALIDATION_ERROR when it has others, naming these paths; NOT_FOUND for the workspace.
   */
  async #open({ workspaceId, namespace }: ParsedScope, length: number, paths: readonly string[]): Promise<void> {
    const { rowCount } = await this.#db.query(
      `INSERT INTO treadle.vector_namespaces (workspace_id, namespace, dimensions)
       SELECT id, $2, $3 FROM treadle.workspaces WHERE id = $1 ON CONFLICT DO NOTHING`,
      [workspaceId, namespace, length],
    );
    if (rowCount === 1) await this.#prepare(length);
    const { rows } = await this.#db.query<{ dimensions: number }>(
      'SELECT dimensions FROM treadle.vector_namespaces WHERE workspace_id = $1 AND namespace = $2',
      [workspaceId, namespace],
    );
    const [row] = rows;
    if (!row) throw notFound('workspace', workspaceId);
    if (row.dimensions !== length) throw wrongLength(paths, row.dimensions);
  }

  async #upsert(db: Queryable, { workspaceId, namespace }: ParsedScope, vectors: readonly Parsed[]): Promise<boolean> {
    // Sorted, so that two writers wait for each other in one order.
    const rows = vectors
      .map(({ id, vector, metadata }) => ({ id, metadata, ...storable(vector) }))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const { rowCount } = await db.query(upsert, [
      workspaceId,
      namespace,
      typeOf(namespace),
      model,
      vectors[0]?.vector.length ?? 0,
      rows.map(({ id }) => id),
      rows.map(({ hash }) => hash),
      rows.map(({ bits }) => bits),
      rows.map(({ text }) => text),
      rows.map(({ metadata }) => (metadata === null ? null : JSON.stringify(metadata))),
    ]);
    return rowCount === vectors.length;
  }

  async #nearest(
    { workspaceId, namespace }: ParsedScope,
    queries: readonly (readonly number[])[],
    limit: number,
    paths: readonly string[],
  ): Promise<readonly (readonly VectorMatch[])[]> {
    const directions = queries.map(directionOf);
    const length = queries[0]?.length ?? 0;
    const { rows } = await this.#db.query<FoundRow & Record<string, unknown>>(nearest, [
      workspaceId,
      namespace,
      typeOf(namespace),
      model,
      length,
      directions.map(vectorText),
      directions.map(signBits),
      limit,
    ]);
    const dimensions = rows[0]?.dimensions ?? length;
    if (dimensions !== length) throw wrongLength(paths, dimensions);
    const matches = Map.groupBy(rows, ({ place }) => place);
    return queries.map((_, index) =>
      (matches.get(index + 1) ?? []).map(({ id, metadata, score }) => ({ id, metadata, similarity: score })),
    );
  }

  /** Without its index a search is only slower, so a failure is told and not thrown. */
  async #prepare(length: number): Promise<void> {
    try {
      await new EmbeddingRepository(model, length).prepareModel(this.#db);
    } catch (error) {
      this.#log.warn({ event: 'vectors.index-failed', dimensions: length, err: error });
    }
  }
}

const batchSchema = z.strictObject({
  vectors: z
    .array(vectorInput, { error: 'must be a list' })
    .min(1, 'must have a vector')
    .max(mostVectors, `must have at most ${mostVectors} vectors`),
});
const searchesSchema = z.strictObject({
  vectors: z
    .array(vectorSchema, { error: 'must be a list' })
    .min(1, 'must have a vector')
    .max(mostQueries, `must have at most ${mostQueries} vectors`),
  limit: vectorLimit,
});

const storable = (numbers: readonly number[]) => {
  const direction = directionOf(numbers);
  const text = vectorText(direction);
  return { text, bits: signBits(direction), hash: createHash('sha256').update(`vector ${text}`).digest() };
};
