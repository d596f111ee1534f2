import type { Queryable } from '../../lib/postgres/queryable.ts';
import { signBits } from './sign-bits.ts';
import type { ChunkPlace, EntityKey, NearestChunk, NearestQuery, StorableVector } from './types.ts';
import { vectorText } from './vector-text.ts';

/** Locks an entity's row against deletion, so that no embedding outlives it. */
const entityLocks: Readonly<Record<string, string>> = {
  knowledge: 'SELECT 1 FROM treadle.knowledge WHERE workspace_id = $1 AND id = $2 FOR KEY SHARE',
};

const claimVersion = `
  INSERT INTO treadle.embedded_entities AS known (workspace_id, entity_type, entity_id, model, dimensions, version, chunks)
  VALUES ($1, $2, $3, $4, $5, $6, $7)
  ON CONFLICT (entity_type, entity_id, model) DO UPDATE
    SET version = excluded.version, chunks = excluded.chunks, workspace_id = excluded.workspace_id,
      dimensions = excluded.dimensions, embedded_at = now()
    WHERE known.version <= excluded.version OR known.dimensions <> excluded.dimensions`;

const replaceChunk = `
  ON CONFLICT (entity_type, entity_id, model, chunk_index) DO UPDATE
    SET workspace_id = excluded.workspace_id, dimensions = excluded.dimensions, content_hash = excluded.content_hash,
      chunk_start = excluded.chunk_start, chunk_end = excluded.chunk_end, bits = excluded.bits, vector = excluded.vector
    WHERE stored.content_hash <> excluded.content_hash OR stored.workspace_id <> excluded.workspace_id
      OR (stored.chunk_start, stored.chunk_end) <> (excluded.chunk_start, excluded.chunk_end)`;

const columns =
  'workspace_id, entity_type, entity_id, model, dimensions, chunk_index, chunk_start, chunk_end, content_hash, bits, vector';

const places = 'unnest($6::integer[], $7::integer[], $8::integer[], $9::bytea[]) AS place (index, start, stop, hash)';

/** Puts vectors of the workspace's own chunks, or pending ones, at their places. `source` is one of the two tables. */
const placeStored = (source: 'embeddings' | 'pending_embeddings'): string => `
  INSERT INTO treadle.embeddings AS stored (${columns})
  SELECT $1, $2, $3, $4, $5, place.index, place.start, place.stop, place.hash, held.bits, held.vector
  FROM ${places}
  JOIN LATERAL (
    SELECT h.bits, h.vector FROM treadle.${source} AS h WHERE h.content_hash = place.hash AND h.workspace_id = $1 LIMIT 1
  ) AS held ON true ${replaceChunk}`;

const placeFresh = `
  INSERT INTO treadle.embeddings AS stored (${columns})
  SELECT $1, $2, $3, $4, $5, place.index, place.start, place.stop, place.hash, place.bits::bit varying, place.vector::real[]
  FROM unnest($6::integer[], $7::integer[], $8::integer[], $9::bytea[], $10::text[], $11::text[])
    AS place (index, start, stop, hash, bits, vector) ${replaceChunk}`;

interface NearestRow {
  readonly entity_id: string;
  readonly chunk_index: number;
  readonly chunk_start: number;
  readonly chunk_end: number;
  readonly score: number;
}

const placeColumns = (chunks: readonly ChunkPlace[]): unknown[] => [
  chunks.map((chunk) => chunk.index),
  chunks.map((chunk) => chunk.start),
  chunks.map((chunk) => chunk.end),
  chunks.map((chunk) => chunk.hash),
];

/** The one way to the vectors, whichever way Postgres stores them. Every method runs on the connection it is given. */
export class EmbeddingRepository {
  readonly model: string;
  readonly dimensions: number;

  constructor(model: string, dimensions: number) {
    this.model = model;
    this.dimensions = dimensions;
  }

  /** Makes what searching the model's vectors needs (an index); cheap once it is there. */
  async prepareModel(db: Queryable): Promise<void> {
    await db.query('SELECT treadle.prepare_model($1, $2)', [this.model, this.dimensions]);
  }

  /** `pgvector` or `bits`. */
  async storage(db: Queryable): Promise<string> {
    const { rows } = await db.query<{ storage: string }>('SELECT treadle.vector_storage() AS storage');
    return rows[0]?.storage ?? 'bits';
  }

  /** Which of the hashes the workspace holds a vector for, as hexadecimal text. */
  async storedHashes(db: Queryable, workspaceId: string, hashes: readonly Buffer[]): Promise<Set<string>> {
    const { rows } = await db.query<{ hash: string }>(
      `SELECT encode(asked.hash, 'hex') AS hash FROM unnest($2::bytea[]) AS asked (hash)
       WHERE EXISTS (SELECT 1 FROM treadle.embeddings AS e WHERE e.content_hash = asked.hash AND e.workspace_id = $1)
         OR EXISTS (SELECT 1 FROM treadle.pending_embeddings AS p WHERE p.content_hash = asked.hash AND p.workspace_id = $1)`,
      [workspaceId, hashes],
    );
    return new Set(rows.map((row) => row.hash));
  }

  /** Keeps vectors of a document that is not finished; they are dropped with {@link dropPending} or after a day. */
  async keepPending(db: Queryable, workspaceId: string, vectors: readonly StorableVector[]): Promise<void> {
    await db.query(
      `INSERT INTO treadle.pending_embeddings (workspace_id, content_hash, dimensions, bits, vector)
       SELECT $1, held.hash, $2, held.bits::bit varying, held.vector::real[]
       FROM unnest($3::bytea[], $4::text[], $5::text[]) AS held (hash, bits, vector)
       ORDER BY held.hash
       ON CONFLICT (workspace_id, content_hash) DO NOTHING`,
      [
        workspaceId,
        this.dimensions,
        vectors.map((held) => held.hash),
        vectors.map((held) => held.bits),
        vectors.map((held) => vectorText(held.vector)),
      ],
    );
  }

  async dropPending(db: Queryable, workspaceId: string, hashes: readonly Buffer[]): Promise<void> {
    await db.query(
      `DELETE FROM treadle.pending_embeddings
       WHERE (workspace_id = $1 AND content_hash = ANY ($2::bytea[])) OR created_at < now() - interval '1 day'`,
      [workspaceId, hashes],
    );
  }

  /** Holds the entity's row until the transaction ends; false when it does not exist. */
  async lockEntity(tx: Queryable, { workspaceId, entityType, entityId }: EntityKey): Promise<boolean> {
    const statement = entityLocks[entityType];
    if (statement === undefined) return true;
    const { rows } = await tx.query(statement, [workspaceId, entityId]);
    return rows.length > 0;
  }

  /** Records that the entity's chunks show `version`; false when they show a newer one already. */
  async claimVersion(tx: Queryable, entity: EntityKey, version: number, chunks: number): Promise<boolean> {
    const { rowCount } = await tx.query(claimVersion, [...this.#identity(entity), version, chunks]);
    return rowCount === 1;
  }

  /**
   * Gives the entity exactly these chunks, with vectors that the workspace holds already and the `fresh` ones. Answers
   * whether there was a vector for each; if not, the caller rolls back.
   */
  async replaceChunks(
    tx: Queryable,
    entity: EntityKey,
    chunks: readonly ChunkPlace[],
    fresh: ReadonlyMap<string, StorableVector>,
  ): Promise<boolean> {
    const identity = this.#identity(entity);
    const held = chunks.filter((chunk) => !fresh.has(chunk.hash.toString('hex')));
    if (held.length > 0) {
      // One statement sees the rows as they were before it, so chunks may change places among themselves.
      await tx.query(placeStored('embeddings'), [...identity, ...placeColumns(held)]);
      const missing = await this.#misplaced(tx, entity, held);
      if (missing.length > 0)
        await tx.query(placeStored('pending_embeddings'), [...identity, ...placeColumns(missing)]);
    }
    const brought = chunks.flatMap((chunk) => {
      const vector = fresh.get(chunk.hash.toString('hex'));
      return vector ? [{ ...chunk, ...vector }] : [];
    });
    if (brought.length > 0) {
      await tx.query(placeFresh, [
        ...identity,
        ...placeColumns(brought),
        brought.map((chunk) => chunk.bits),
        brought.map((chunk) => vectorText(chunk.vector)),
      ]);
    }
    await tx.query(
      'DELETE FROM treadle.embeddings WHERE entity_type = $1 AND entity_id = $2 AND model = $3 AND chunk_index >= $4',
      [entity.entityType, entity.entityId, this.model, chunks.length],
    );
    return (await this.#misplaced(tx, entity, chunks)).length === 0;
  }

  /** The chunks nearest to a vector of this repository's model, best first. */
  async nearest(db: Queryable, query: Omit<NearestQuery, 'model'>): Promise<readonly NearestChunk[]> {
    const { rows } = await db.query<NearestRow>(
      'SELECT * FROM treadle.nearest_chunks($1, $2, $3, $4::real[], $5::bit varying, $6, $7::uuid[])',
      [
        query.workspaceId,
        query.entityType,
        this.model,
        vectorText(query.vector),
        signBits(query.vector),
        query.limit,
        query.among ?? null,
      ],
    );
    return rows.map((row) => ({
      entityId: row.entity_id,
      chunkIndex: row.chunk_index,
      chunkStart: row.chunk_start,
      chunkEnd: row.chunk_end,
      score: row.score,
    }));
  }

  /** Removes the entity's embeddings, of every model. */
  async remove(db: Queryable, { entityType, entityId }: Omit<EntityKey, 'workspaceId'>): Promise<void> {
    for (const table of ['embeddings', 'embedded_entities']) {
      await db.query(`DELETE FROM treadle.${table} WHERE entity_type = $1 AND entity_id = $2`, [entityType, entityId]);
    }
  }

  #identity({ workspaceId, entityType, entityId }: EntityKey): unknown[] {
    return [workspaceId, entityType, entityId, this.model, this.dimensions];
  }

  async #misplaced(tx: Queryable, entity: EntityKey, chunks: readonly ChunkPlace[]): Promise<readonly ChunkPlace[]> {
    const { rows } = await tx.query<{ chunk_index: number; hash: string }>(
      `SELECT chunk_index, encode(content_hash, 'hex') AS hash FROM treadle.embeddings
       WHERE entity_type = $1 AND entity_id = $2 AND model = $3`,
      [entity.entityType, entity.entityId, this.model],
    );
    const stored = new Map(rows.map((row) => [row.chunk_index, row.hash]));
    return chunks.filter((chunk) => stored.get(chunk.index) !== chunk.hash.toString('hex'));
  }
}
