import * as fc from 'fast-check';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { rebuildIndex } from '../../../src/domain/search/indexes/rebuild-index.ts';
import { verifyIndex } from '../../../src/domain/search/indexes/verify-index.ts';
import { elasticsearchUrl } from '../../services/elasticsearch.ts';
import { useShop } from './use-shop.ts';

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] an index of an app', () => {
  const shop = useShop();
  const { database } = shop;
  const query = (text: string, values?: unknown[]) => database.query(text, values);
  const signal = AbortSignal.timeout(300_000);
  beforeAll(() => shop.ready());

  describe('of rows that the stream carries', () => {
    const large = Array.from({ length: 4_000 }, (_, index) => String(index * 7_919)).join('');
    beforeEach(async () => {
      await query('TRUNCATE shop.part');
      await query(`INSERT INTO shop.part VALUES (1, 'a', $1, 1), (2, 'b', 'small', 2), (3, 'c', NULL, 3)`, [large]);
      await shop.shown('parts');
    });

    it('has what is inserted, changed, deleted and moved, and nothing else is written', async () => {
      expect(await shop.written('parts', () => query(`INSERT INTO shop.part VALUES (9007199254740993, 'n')`))).toEqual([
        '9007199254740993',
      ]);
      expect(await shop.written('parts', () => query(`UPDATE shop.part SET name = 'z' WHERE id = 2`))).toEqual(['2']);
      expect(await shop.written('parts', () => query('DELETE FROM shop.part WHERE id = 3'))).toEqual(['-3']);
      expect(await shop.written('parts', () => query('UPDATE shop.part SET id = 20 WHERE id = 2'))).toEqual([
        '-2',
        '20',
      ]);
      expect(await shop.documents('parts')).toEqual(await shop.expected('parts'));
      await query('TRUNCATE shop.part');
      expect((await shop.shown('parts')).size).toBe(0);
    });

    it('keeps a large value that an UPDATE left alone', async () => {
      expect(await shop.written('parts', () => query('UPDATE shop.part SET weight = 100'))).toEqual(['1', '2', '3']);
      expect((await shop.shown('parts')).get('1')).toMatchObject({ weight: 100, body: large });
      await query('UPDATE shop.part SET id = 100 WHERE id = 1');
      expect((await shop.shown('parts')).get('100')).toMatchObject({ body: large });
      expect(await shop.documents('parts')).toEqual(await shop.expected('parts'));
    });
  });

  describe('of joined rows', () => {
    beforeEach(async () => {
      await query('TRUNCATE shop.product, shop.brand, shop.category, shop.product_category, shop.review');
      await query(`INSERT INTO shop.brand VALUES (1, 'Acme'), (2, 'Bolt'), (3, 'Cork')`);
      await query(`INSERT INTO shop.category VALUES (1, 'tools'), (2, 'toys')`);
      await query(
        `INSERT INTO shop.product SELECT s, n, 'product ' || n, n FROM generate_series(1, 3) AS n, unnest(ARRAY['x', 'y']) AS s`,
      );
      await query(`INSERT INTO shop.product_category VALUES ('x', 1, 1), ('x', 2, 1), ('x', 2, 2)`);
      await query(`INSERT INTO shop.review VALUES (1, 'x', 1, 5), (2, 'y', 3, 1)`);
      await shop.shown('products');
    });

    it.each([
      ['one changes', `UPDATE shop.brand SET name = 'Bolts' WHERE id = 2`, ['x/2', 'y/2']],
      ['one is deleted', `DELETE FROM shop.brand WHERE id = 2`, ['x/2', 'y/2']],
      ['one gets another key', `UPDATE shop.brand SET id = 9 WHERE id = 1`, ['x/1', 'y/1']],
      ['a link is made', `INSERT INTO shop.product_category VALUES ('y', 3, 2)`, ['y/3']],
      ['a link is deleted, the last of its row', `DELETE FROM shop.product_category WHERE product = 1`, ['x/1']],
      ['a link goes to another row', `UPDATE shop.product_category SET shop = 'y' WHERE product = 1`, ['x/1', 'y/1']],
      ['one behind links changes', `UPDATE shop.category SET name = 'Tools' WHERE id = 1`, ['x/1', 'x/2']],
      ['one behind links is deleted', `DELETE FROM shop.category WHERE id = 2`, ['x/2']],
      ['one of many changes', `UPDATE shop.review SET stars = 4 WHERE id = 2`, ['y/3']],
      ['the only one of many is deleted', `DELETE FROM shop.review WHERE id = 2`, ['y/3']],
      [
        'one of many belongs to another row',
        `UPDATE shop.review SET shop = 'y', product = 1 WHERE id = 1`,
        ['x/1', 'y/1'],
      ],
      ['a row points at another', `UPDATE shop.product SET brand = 3 WHERE shop = 'x' AND id = 1`, ['x/1']],
      [
        'a row moves to another workspace',
        `UPDATE shop.product SET shop = 'z' WHERE shop = 'y' AND id = 3`,
        ['-y/3', 'z/3'],
      ],
      ['nobody shows it', `INSERT INTO shop.brand VALUES (77, 'none')`, []],
    ])('when %s, exactly the documents that show it are written', async (_, statement, keys) => {
      expect(await shop.written('products', () => query(statement))).toEqual(keys);
      expect(await shop.documents('products')).toEqual(await shop.expected('products'));
    });

    it.each(['brand', 'category', 'product_category', 'review', 'product'])(
      'is equal again when the table %s was truncated',
      async (table) => {
        await query(`TRUNCATE shop.${table}`);
        expect(await shop.documents('products')).toEqual(await shop.expected('products'));
      },
    );
  });

  it('equals its tables after whatever happens to them', async () => {
    const number = fc.integer({ min: 1, max: 4 });
    const where = fc.constantFrom('x', 'y:', '%');
    const name = fc.string({ unit: 'binary', maxLength: 8 }).map((value) => value.replaceAll('\0', ''));
    const statement = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.tuple(where, number, name, number).map((values) => ({
          text: `INSERT INTO shop.product VALUES ($1, $2, $3, $4) ON CONFLICT (shop, id) DO UPDATE SET title = excluded.title, brand = excluded.brand`,
          values,
        })),
      },
      {
        weight: 4,
        arbitrary: fc
          .tuple(where, number)
          .map((values) => ({ text: 'DELETE FROM shop.product WHERE shop = $1 AND id = $2', values })),
      },
      {
        weight: 3,
        arbitrary: fc.tuple(where, number, where, number).map((values) => ({
          text: `UPDATE shop.product SET shop = $3, id = $4 WHERE shop = $1 AND id = $2 AND NOT EXISTS (SELECT FROM shop.product WHERE shop = $3 AND id = $4)`,
          values,
        })),
      },
      {
        weight: 4,
        arbitrary: fc.tuple(number, name).map((values) => ({
          text: `INSERT INTO shop.brand VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name`,
          values,
        })),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(number).map((values) => ({ text: 'DELETE FROM shop.brand WHERE id = $1', values })),
      },
      {
        weight: 4,
        arbitrary: fc.tuple(number, name).map((values) => ({
          text: `INSERT INTO shop.category VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name`,
          values,
        })),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(number).map((values) => ({ text: 'DELETE FROM shop.category WHERE id = $1', values })),
      },
      {
        weight: 6,
        arbitrary: fc.tuple(where, number, number).map((values) => ({
          text: 'INSERT INTO shop.product_category VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
          values,
        })),
      },
      {
        weight: 3,
        arbitrary: fc.tuple(where, number, number).map((values) => ({
          text: 'DELETE FROM shop.product_category WHERE shop = $1 AND product = $2 AND category >= $3',
          values,
        })),
      },
      {
        weight: 5,
        arbitrary: fc.tuple(number, where, number, number).map((values) => ({
          text: `INSERT INTO shop.review VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET shop = excluded.shop, product = excluded.product, stars = excluded.stars`,
          values,
        })),
      },
      {
        weight: 1,
        arbitrary: fc
          .constantFrom('product', 'brand', 'category', 'product_category', 'review')
          .map((table) => ({ text: `TRUNCATE shop.${table}`, values: [] as unknown[] })),
      },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(statement, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 6 }),
        async (transactions) => {
          for (const statements of transactions) {
            await database.postgres.transaction(async (tx) => {
              for (const { text, values } of statements) await tx.query(text, values);
            });
          }
          expect(await shop.documents('products')).toEqual(await shop.expected('products'));
        },
      ),
      { numRuns: 25 },
    );
  }, 120_000);

  it('is compared with its tables, and what differs is put right', async () => {
    await query('TRUNCATE shop.part');
    await query(
      `INSERT INTO shop.part SELECT n, 'part ' || n, repeat('word ', 50), n FROM generate_series(1, 1500) AS n`,
    );
    expect(await shop.documents('parts')).toEqual(await shop.expected('parts'));
    const { alias } = shop.index('parts').source.definition.names;
    const { elasticsearch } = shop.platform;
    await elasticsearch?.call((client, options) =>
      client.bulk(
        {
          index: alias,
          operations: [
            { delete: { _id: '7' } },
            { index: { _id: '8' } },
            { id: '8', name: 'wrong', version: 1 },
            { index: { _id: '5000' } },
            { id: '5000', version: 1 },
          ],
        },
        options,
      ),
    );
    const found = await verifyIndex(shop.index('parts'), { alias, signal, repair: true });
    expect(found).toMatchObject({ documents: 1_500, missing: 1, different: 1, surplus: 1, repaired: 3 });
    expect(found.found.find(({ id }) => id === '8')?.fields).toEqual(['name']);
    expect(await shop.documents('parts')).toEqual(await shop.expected('parts'));
    for (const { name } of shop.platform.indexes.all()) {
      const again = await verifyIndex(shop.index(name), {
        alias: shop.index(name).source.definition.names.alias,
        signal,
        repair: false,
      });
      expect(again).toMatchObject({ missing: 0, different: 0, surplus: 0 });
    }
  });

  it('is built anew while its tables change', async () => {
    await query('TRUNCATE shop.part');
    await query(`INSERT INTO shop.part SELECT n, 'part ' || n, '', n FROM generate_series(1, 2000) AS n`);
    await shop.shown('parts');
    const building = { isDone: false };
    const options = { reason: 'test', signal, onProgress: () => undefined, onFailed: () => Promise.resolve() };
    const rebuilt = rebuildIndex(shop.index('parts'), options).finally(() => (building.isDone = true));
    for (let turn = 0; !building.isDone; turn += 1) {
      await query('UPDATE shop.part SET weight = $1 WHERE id % 7 = $1::integer % 7', [turn]);
      await query('DELETE FROM shop.part WHERE id = $1', [1_000 + turn]);
      await query(`INSERT INTO shop.part VALUES ($1, 'late')`, [10_000 + turn]);
    }
    const { index } = await rebuilt;
    expect((await shop.index('parts').states.read('parts'))?.live).toBe(index);
    expect(await shop.documents('parts')).toEqual(await shop.expected('parts'));
  });
});
