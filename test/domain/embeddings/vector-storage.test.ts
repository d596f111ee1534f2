import { createHash, randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { EmbeddingRepository } from '../../../src/domain/embeddings/embedding-repository.ts';
import { signBits } from '../../../src/domain/embeddings/sign-bits.ts';
import type { StorableVector } from '../../../src/domain/embeddings/types.ts';
import { normalise, vectorText } from '../../../src/domain/embeddings/vector-text.ts';
import { testVectorDatabase } from './vector-database-suite.ts';
import { vectorStorages } from './vector-storages.ts';

const dimensions = 48;

/** Numbers from 0 to 1, the same in every run. */
const seeded = (start: number) => {
  let state = start;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
};

/** Directions around a few centres, as texts of a few topics have. */
const directions = (count: number, seed: number): Float32Array[] => {
  const random = seeded(seed);
  const centres = Array.from({ length: 20 }, () => Float32Array.from({ length: dimensions }, () => random() - 0.5));
  return Array.from({ length: count }, (_, index) =>
    normalise(Float32Array.from(centres[index % centres.length] ?? [], (value) => value + (random() - 0.5) * 0.9)),
  );
};

const dot = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);

const exactNearest = (vectors: ReadonlyMap<string, Float32Array>, query: Float32Array, count: number): string[] =>
  Array.from(vectors, ([id, vector]) => ({ id, score: dot(vector, query) }))
    .toSorted((a, b) => b.score - a.score)
    .slice(0, count)
    .map(({ id }) => id);

const recall = (expected: readonly string[], found: readonly string[]): number =>
  expected.filter((id) => found.includes(id)).length / expected.length;

const storable = (vector: Float32Array): StorableVector => ({
  hash: createHash('sha256').update(vector).digest(),
  vector,
  bits: signBits(vector),
});

describe.each(vectorStorages)('vectors stored as $name', (storage) => {
  const server = storage.use();
  const repository = new EmbeddingRepository('test-model', dimensions);
  const [small, large] = [randomUUID(), randomUUID()];
  const entityType = 'thing';

  const store = async (workspaceId: string, entityId: string, vectors: readonly Float32Array[], into = repository) => {
    const stored = vectors.map(storable);
    const places = stored.map(({ hash }, index) => ({ index, start: index, end: index + 1, hash }));
    await into.replaceChunks(
      server.database,
      { workspaceId, entityType, entityId },
      places,
      new Map(stored.map((vector) => [vector.hash.toString('hex'), vector])),
    );
  };
  const nearest = async (workspaceId: string, vector: Float32Array, limit: number, among?: readonly string[]) =>
    repository.nearest(server.database, { workspaceId, entityType, vector, limit, among });
  const fill = async (workspaceId: string, directed: readonly Float32Array[]): Promise<Map<string, Float32Array>> => {
    const vectors = new Map(directed.map((vector) => [randomUUID(), vector]));
    await server.database.query(
      `INSERT INTO treadle.embeddings (workspace_id, entity_type, entity_id, chunk_index, model, dimensions, content_hash,
         chunk_start, chunk_end, bits, vector)
       SELECT $1, $2, id, 0, $3, $4, sha256(id::text::bytea), 0, 1, bits::bit varying, vector::real[]
       FROM unnest($5::uuid[], $6::text[], $7::text[]) AS given (id, bits, vector)`,
      [
        workspaceId,
        entityType,
        repository.model,
        dimensions,
        [...vectors.keys()],
        directed.map(signBits),
        directed.map(vectorText),
      ],
    );
    return vectors;
  };

  let smallVectors = new Map<string, Float32Array>();
  let largeVectors = new Map<string, Float32Array>();
  let queries: readonly Float32Array[] = [];
  beforeAll(async () => {
    const drawn = directions(5_420, 2);
    // An index over rows that are there is made in a quarter of the time that row after row takes; the small workspace comes
    // after it, as rows do that are written to a model in use.
    largeVectors = await fill(large, drawn.slice(20));
    await repository.prepareModel(server.database);
    smallVectors = await fill(small, directions(300, 1));
    queries = drawn.slice(0, 20);
    await server.database.query('ANALYZE treadle.embeddings');
  });

  it('says how it stores them', async () => {
    expect(await repository.storage(server.database)).toBe(storage.name);
  });

  it('answers a small workspace exactly, best first, with its cosines', async () => {
    for (const query of directions(10, 3)) {
      const found = await nearest(small, query, 10);
      expect(found.map((chunk) => chunk.entityId)).toEqual(exactNearest(smallVectors, query, 10));
      for (const chunk of found) {
        expect(chunk.score).toBeCloseTo(dot(query, smallVectors.get(chunk.entityId) ?? query), 4);
      }
    }
  });

  it('finds at least 0.98 of the ten nearest in a large workspace', async () => {
    let sum = 0;
    for (const query of queries) {
      const found = await nearest(large, query, 10);
      sum += recall(
        exactNearest(largeVectors, query, 10),
        found.map((chunk) => chunk.entityId),
      );
    }
    expect(sum / queries.length).toBeGreaterThanOrEqual(0.98);
  });

  it('ranks up to a thousand without a repetition, and never a better one behind a worse one', async () => {
    const [query = new Float32Array(dimensions)] = directions(1, 5);
    const found = await nearest(large, query, 1_000);
    expect(new Set(found.map((chunk) => chunk.entityId)).size).toBe(1_000);
    expect(found.every((chunk, index) => index === 0 || chunk.score <= (found[index - 1]?.score ?? 0) + 1e-9)).toBe(
      true,
    );
  });

  it('loses nothing to a filter, however few pass it', async () => {
    const [query = new Float32Array(dimensions)] = directions(1, 6);
    const worst = exactNearest(largeVectors, query, 5_400).slice(-7);
    const found = await nearest(large, query, 10, [...worst, ...smallVectors.keys()]);
    expect(found.map((chunk) => chunk.entityId).toSorted()).toEqual(worst.toSorted());
    expect(await nearest(large, query, 10, [])).toEqual([]);
  });

  it('keeps workspaces apart', async () => {
    const [query = new Float32Array(dimensions)] = directions(1, 7);
    const found = await nearest(small, query, 1_000);
    expect(new Set(found.map((chunk) => chunk.entityId))).toEqual(new Set(smallVectors.keys()));
    expect(await nearest(randomUUID(), query, 10)).toEqual([]);
  });

  it('keeps models apart, also when their dimensions are the same', async () => {
    const other = new EmbeddingRepository('other-model', dimensions);
    const workspaceId = randomUUID();
    const [vector = new Float32Array(dimensions)] = directions(1, 8);
    await store(workspaceId, randomUUID(), [vector], other);
    expect(await nearest(workspaceId, vector, 10)).toEqual([]);
    expect(await other.nearest(server.database, { workspaceId, entityType, vector, limit: 10 })).toHaveLength(1);
  });

  it('answers nothing for a query without direction', async () => {
    expect(await nearest(small, new Float32Array(dimensions), 10)).toEqual([]);
  });

  it('lets chunks change places and removes the ones beyond the last', async () => {
    const workspaceId = randomUUID();
    const entityId = randomUUID();
    const vectors = directions(4, 9);
    await store(workspaceId, entityId, vectors);
    const moved = [vectors[2], vectors[0], vectors[1]].flatMap((vector) => (vector ? [vector] : []));
    const places = moved.map(storable).map(({ hash }, index) => ({ index, start: index, end: index + 1, hash }));
    expect(
      await repository.replaceChunks(server.database, { workspaceId, entityType, entityId }, places, new Map()),
    ).toBe(true);
    for (const [index, vector] of moved.entries()) {
      const [best] = await nearest(workspaceId, vector, 1);
      expect(best).toMatchObject({ entityId, chunkIndex: index });
    }
    expect(await nearest(workspaceId, moved[0] ?? new Float32Array(dimensions), 10)).toHaveLength(3);
  });

  it('stores models of more dimensions than an index of full precision takes', async () => {
    const wide = new EmbeddingRepository('wide-model', 3_072);
    await wide.prepareModel(server.database);
    const workspaceId = randomUUID();
    const entityId = randomUUID();
    const random = seeded(11);
    const vector = normalise(Float32Array.from({ length: 3_072 }, () => random() - 0.5));
    await store(workspaceId, entityId, [vector], wide);
    const [found] = await wide.nearest(server.database, { workspaceId, entityType, vector, limit: 1 });
    expect(found?.entityId).toBe(entityId);
    expect(found?.score).toBeCloseTo(1, 3);
  });

  describe('of an app', () => {
    testVectorDatabase(server);
  });
});
