import { randomUUID } from 'node:crypto';
import { assert, asyncProperty, array, double, integer, uniqueArray } from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import type { EmbeddingDatabase } from '../../../src/domain/embeddings/types.ts';
import { VectorDatabase } from '../../../src/domain/embeddings/vector-database.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';

const faults = (...paths: readonly string[]) => ({
  code: 'VALIDATION_ERROR',
  details: { faults: paths.map((path) => expect.objectContaining({ path })) },
});
const given = (value: unknown): never => value as never;
const cosine = (a: readonly number[], b: readonly number[]): number => {
  const dot = (x: readonly number[], y: readonly number[]) =>
    x.reduce((sum, value, at) => sum + value * (y[at] ?? 0), 0);
  return dot(a, b) / Math.sqrt(dot(a, a)) / Math.sqrt(dot(b, b));
};

/** What the vectors of apps do, whichever the storage. */
export const testVectorDatabase = (server: { readonly database: EmbeddingDatabase }): void => {
  const vectors = (): VectorDatabase => new VectorDatabase(server.database, createLog({ level: 'silent' }));
  const workspace = async (): Promise<string> => {
    const { rows } = await server.database.query<{ id: string }>(
      'INSERT INTO treadle.workspaces (name) VALUES ($1) RETURNING id',
      [`w${randomUUID().slice(0, 8)}`],
    );
    return rows[0]?.id ?? '';
  };
  const stored = async (workspaceId: string): Promise<number> => {
    const { rows } = await server.database.query<{ stored: number }>(
      'SELECT count(*)::integer AS stored FROM treadle.embeddings WHERE workspace_id = $1',
      [workspaceId],
    );
    return rows[0]?.stored ?? 0;
  };
  let here = { workspaceId: '', namespace: 'images' };
  beforeEach(async () => {
    here = { workspaceId: await workspace(), namespace: 'images' };
  });

  test('are found by their direction, best first, with what was noted of them', async () => {
    await vectors().insertVector(here, { id: 'east', vector: [10, 0, 0], metadata: { name: 'East', sizes: [1] } });
    await vectors().insertVector(here, { id: randomUUID(), vector: [0, 1e-300, 0] });
    await vectors().batchInsert(here, [
      { id: 'north-east', vector: [3, 3, 0] },
      { id: 'west', vector: [-1e300, 0, 0], metadata: {} },
    ]);
    const found = await vectors().searchVectors(here, [0.5, 0, 0]);
    expect(found.map(({ id }) => id)).toEqual(['east', 'north-east', expect.any(String), 'west']);
    expect(found[0]).toEqual({ id: 'east', metadata: { name: 'East', sizes: [1] }, similarity: expect.closeTo(1, 5) });
    expect(found.map(({ similarity }) => similarity)).toEqual(
      [1, Math.SQRT1_2, 0, -1].map((each) => expect.closeTo(each, 5)),
    );
    expect((await vectors().searchVectors(here, [1, 0, 0], 1)).map(({ metadata }) => metadata)).toEqual([
      { name: 'East', sizes: [1] },
    ]);
  });

  test('are replaced by another of their id, changed, and deleted once', async () => {
    await vectors().insertVector(here, { id: 'a', vector: [1, 0], metadata: { n: 1 } });
    await vectors().batchInsert(here, [
      { id: 'a', vector: [0, 1] },
      { id: 'b', vector: [1, 0], metadata: { n: 2 } },
    ]);
    const all = () => vectors().searchVectors(here, [0, 1]);
    expect(await all()).toMatchObject([{ id: 'a', metadata: null }, { id: 'b' }]);
    await vectors().updateVector(here, 'b', [0, 7]);
    await vectors().updateVector(here, 'a', [1, 0]);
    expect(await all()).toMatchObject([
      { id: 'b', metadata: { n: 2 } },
      { id: 'a', similarity: expect.closeTo(0, 5) },
    ]);
    await expect(vectors().updateVector(here, 'c', [1, 1])).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(vectors().updateVector(here, 'b', [1])).rejects.toMatchObject(faults('vector'));
    expect([await vectors().deleteVector(here, 'b'), await vectors().deleteVector(here, 'b')]).toEqual([true, false]);
    expect(await all()).toMatchObject([{ id: 'a' }]);
  });

  test('of one id lie side by side in workspaces and namespaces, and go with them', async () => {
    const there = { ...here, workspaceId: await workspace() };
    const texts = { ...here, namespace: 'texts' };
    const each = [here, there, texts];
    for (const [index, scope] of each.entries()) {
      await vectors().insertVector(scope, { id: 'same', vector: [1, index], metadata: { index } });
    }
    for (const [index, scope] of each.entries()) {
      expect(await vectors().searchVectors(scope, [1, 0])).toMatchObject([{ id: 'same', metadata: { index } }]);
    }
    expect(await vectors().deleteNamespace(texts)).toBe(true);
    expect(await vectors().deleteNamespace(texts)).toBe(false);
    await vectors().insertVector(texts, { id: 'longer', vector: [1, 2, 3] });
    expect([await stored(here.workspaceId), await stored(there.workspaceId)]).toEqual([2, 1]);
    await server.database.query('DELETE FROM treadle.workspaces WHERE id = $1', [here.workspaceId]);
    expect([await stored(here.workspaceId), await stored(there.workspaceId)]).toEqual([0, 1]);
    await expect(vectors().insertVector(here, { id: 'x', vector: [1] })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      details: { entity: 'workspace' },
    });
    expect(await vectors().searchVectors(here, [1, 0])).toEqual([]);
  });

  test('that are none, or of another length than the first, are refused by name and nothing is written', async () => {
    const insert = (vector: unknown, rest: object = {}) =>
      vectors().insertVector(here, given({ id: 'x', vector, ...rest }));
    for (const wrong of [
      [],
      [0, 0],
      [1, Number.NaN],
      [Number.POSITIVE_INFINITY],
      'x',
      new Float32Array([1, 2]),
      Array(16_001).fill(1),
    ]) {
      await expect(insert(wrong)).rejects.toMatchObject({
        code: 'VALIDATION_ERROR',
        details: { faults: [{ path: expect.stringMatching(/^vector/) }] },
      });
    }
    await expect(insert([1], { id: '', metadata: 'x', colour: 1 })).rejects.toMatchObject(
      faults('id', 'metadata', 'colour'),
    );
    await vectors().insertVector(here, { id: 'first', vector: [1, 1] });
    expect((await vectors().searchVectors(here, [1, 1]))[0]?.similarity).toBeLessThanOrEqual(1);
    await expect(insert([1, 2, 3])).rejects.toMatchObject(faults('vector'));
    const search = (vector: unknown, limit?: number) => vectors().searchVectors(here, given(vector), limit);
    await expect(search([1, 2, 3])).rejects.toMatchObject(faults('vector'));
    await expect(search([0, 0])).rejects.toMatchObject(faults('vector'));
    await expect(search([Number.NaN, 1], 0)).rejects.toMatchObject(faults('vector[0]', 'limit'));
    await expect(search([1, 2], 1_001)).rejects.toMatchObject(faults('limit'));
    await expect(vectors().searchVectors({ workspaceId: 'x', namespace: 'a b' }, [1])).rejects.toMatchObject(
      faults('workspaceId', 'namespace'),
    );
    expect(await stored(here.workspaceId)).toBe(1);
  });

  test('come in batches whole or not at all, with every fault', async () => {
    const batch = (list: unknown) => vectors().batchInsert(here, given(list));
    await expect(batch([])).rejects.toMatchObject(faults('vectors'));
    await expect(batch(Array.from({ length: 1_001 }, () => ({ id: 'a', vector: [1] })))).rejects.toMatchObject(
      faults('vectors'),
    );
    await expect(
      batch([{ id: 'a', vector: [1, 1] }, { id: 'b', vector: [0, 0] }, { vector: [1, Number.NaN] }]),
    ).rejects.toMatchObject(faults('vectors[1].vector', 'vectors[2].id', 'vectors[2].vector[1]'));
    await expect(
      batch([
        { id: 'a', vector: [1, 1] },
        { id: 'b', vector: [1] },
        { id: 'a', vector: [2, 2] },
      ]),
    ).rejects.toMatchObject(faults('vectors[1].vector', 'vectors[2].id'));
    expect(await stored(here.workspaceId)).toBe(0);
    await vectors().insertVector(here, { id: 'first', vector: [1, 2, 3] });
    await expect(
      batch([
        { id: 'a', vector: [1, 1] },
        { id: 'b', vector: [1, 2] },
      ]),
    ).rejects.toMatchObject(faults('vectors[0].vector', 'vectors[1].vector'));
    const searches = (list: unknown, limit?: number) => vectors().batchSearch(here, given(list), limit);
    await expect(searches([])).rejects.toMatchObject(faults('vectors'));
    await expect(searches(Array.from({ length: 101 }, () => [1, 1, 1]))).rejects.toMatchObject(faults('vectors'));
    await expect(searches([[1, 1, 1], [1], [0, 0]], 0)).rejects.toMatchObject(faults('vectors[2]', 'limit'));
    await expect(searches([[1, 1, 1], [1]])).rejects.toMatchObject(faults('vectors[1]'));
    await expect(searches([[1], [2]])).rejects.toMatchObject(faults('vectors[0]', 'vectors[1]'));
    expect(await stored(here.workspaceId)).toBe(1);
  });

  test('are what comparing all of them finds, one search or many', async () => {
    const numbers = array(double({ min: -1, max: 1, noNaN: true }), { minLength: 6, maxLength: 6 }).filter((list) =>
      list.some((value) => Math.abs(value) > 1e-3),
    );
    const many = uniqueArray(numbers, { minLength: 1, maxLength: 30 });
    await assert(
      asyncProperty(
        many,
        array(numbers, { minLength: 1, maxLength: 4 }),
        integer({ min: 1, max: 40 }),
        async (list, queries, limit) => {
          await vectors().deleteNamespace(here);
          await vectors().batchInsert(
            here,
            list.map((vector, index) => ({ id: `${index}`, vector, metadata: { index } })),
          );
          const found = await vectors().batchSearch(here, queries, limit);
          expect(found).toEqual(await Promise.all(queries.map((query) => vectors().searchVectors(here, query, limit))));
          for (const [at, query] of queries.entries()) {
            const expected = list.map((vector) => cosine(vector, query)).toSorted((a, b) => b - a);
            const answers = found[at] ?? [];
            expect(answers.map(({ similarity }) => similarity)).toEqual(
              expected.slice(0, limit).map((each) => expect.closeTo(each, 4)),
            );
            for (const { id, similarity, metadata } of answers) {
              expect(similarity).toBeCloseTo(cosine(list[Number(id)] ?? [], query), 4);
              expect(metadata).toEqual({ index: Number(id) });
            }
          }
        },
      ),
      { numRuns: 15 },
    );
  });
};
