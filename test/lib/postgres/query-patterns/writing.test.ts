import { beforeEach, describe, expect, test } from 'vitest';
import { QueryPatterns } from '../../../../src/lib/postgres/query-patterns/query-patterns.ts';
import { productTable, useProducts } from './products.ts';

const shop = useProducts();
beforeEach(() => shop.empty());

const given = (value: unknown): never => value as never;
const stock = async (): Promise<readonly number[]> =>
  (await shop.database.query<{ stock: number }>('SELECT stock FROM shop."Products$" ORDER BY id')).map(
    (row) => row.stock,
  );
const make = (count: number) =>
  shop.products.bulkCreate(Array.from({ length: count }, (_, n) => ({ id: n + 1, name: `n${n + 1}`, stock: n })));

describe('creating', () => {
  test('takes one statement a batch and kind of row, and answers the rows with their defaults', async () => {
    const { queries } = shop.database.postgres;
    const before = queries.performance().queries;
    const rows = Array.from({ length: 250 }, (_, n) => ({ id: n, ...(n % 2 === 0 ? { name: `even ${n}` } : {}) }));
    const { count, rows: written } = await shop.products.bulkCreate(rows, { batchSize: 100 });
    expect(queries.performance().queries - before).toBe(4);
    expect(count).toBe(250);
    const made = new Map(written.map((row) => [row.id, row]));
    expect(made.get(0)).toMatchObject({ name: 'even 0', stock: 0, tags: [], revision: 1, views: null });
    expect(made.get(249)).toMatchObject({ name: '', created_at: expect.any(Date) });
  });

  test('names every bad row before anything is written', async () => {
    const rows = [
      { id: 1, name: 'good' },
      { id: 'x', stock: 1.5, colour: 'red' },
      {},
      { id: 2, name: null, owner: 'nobody', created_at: new Date('x'), deleted_at: null },
    ];
    await expect(shop.products.bulkCreate(given(rows), { batchSize: 0 })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: {
        faults: [
          { path: 'rows[1].id', index: 1, message: 'must be a whole number of 4 bytes' },
          { path: 'rows[1].stock', index: 1 },
          { path: 'rows[1].colour', message: 'is not a column of the table' },
          { path: 'rows[2]', index: 2, message: 'must set a column' },
          { path: 'rows[3].name', index: 3, message: 'must not be null' },
          { path: 'rows[3].owner', index: 3 },
          { path: 'rows[3].created_at', index: 3 },
          { path: 'batchSize' },
        ].map((fault) => expect.objectContaining(fault)),
      },
    });
    expect(await stock()).toEqual([]);
  });

  test('is all or nothing, also when a later batch breaks a constraint', async () => {
    const rows = Array.from({ length: 30 }, (_, n) => ({ id: n, stock: n === 25 ? -1 : 1 }));
    await expect(shop.products.bulkCreate(rows, { batchSize: 10 })).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      message: 'the change breaks the rule stock_left',
    });
    expect(await stock()).toEqual([]);
    expect(await shop.products.bulkCreate([])).toEqual({ count: 0, rows: [] });
  });
});

describe('updating', () => {
  test('sets each row to its own values in one statement', async () => {
    await make(3);
    const { queries } = shop.database.postgres;
    const before = queries.performance().queries;
    const tags = ['a,b', '"', '{}'];
    const updates = [3, 1].map((id) => ({
      key: { id },
      data: { name: `new ${id}`, tags, extra: { id }, views: 2n ** 60n, price: null },
    }));
    expect(await shop.products.bulkUpdate(updates)).toEqual({ count: 2 });
    expect(queries.performance().queries - before).toBe(1);
    const { data } = await shop.products.paginate({
      orderBy: { id: 'asc' },
      select: ['name', 'tags', 'extra', 'views'],
    });
    expect(data).toEqual([
      { name: 'new 1', tags, extra: { id: 1 }, views: 2n ** 60n },
      { name: 'n2', tags: [], extra: null, views: null },
      { name: 'new 3', tags, extra: { id: 3 }, views: 2n ** 60n },
    ]);
  });

  test('changes nothing when a row is gone, deleted, or not as it was read', async () => {
    await make(3);
    await shop.products.bulkDelete([{ id: 2 }]);
    const first = { key: { id: 1 }, data: { stock: 99 } };
    for (const id of [2, 7]) {
      await expect(shop.products.bulkUpdate([first, { key: { id }, data: { stock: 1 } }])).rejects.toMatchObject({
        code: 'NOT_FOUND',
        details: { entity: 'Products$', entityId: String(id) },
      });
    }
    const stale = { key: { id: 3 }, data: { stock: 1 }, expect: { revision: 2 } };
    await expect(shop.products.bulkUpdate([first, stale])).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      details: { entityId: '3' },
    });
    expect(await stock()).toEqual([0, 1, 2]);
    const read = { ...stale, data: { stock: 1, revision: { increment: 1 } }, expect: { revision: 1, price: null } };
    expect(await shop.products.bulkUpdate([first, read])).toEqual({ count: 2 });
    expect(await stock()).toEqual([99, 1, 1]);
  });

  test('never sells more than there is, however many take from it at once', async () => {
    await shop.products.bulkCreate([{ id: 1, stock: 10 }]);
    const taken = await Promise.allSettled(
      Array.from({ length: 15 }, () =>
        shop.products.bulkUpdate([{ key: { id: 1 }, data: { stock: { increment: -1 } } }]),
      ),
    );
    expect(taken.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect(await stock()).toEqual([0]);
  });

  test('of the same rows in opposite orders all succeed', async () => {
    await make(200);
    const updates = Array.from({ length: 200 }, (_, id) => ({
      key: { id: id + 1 },
      data: { revision: { increment: 1 } },
    }));
    const calls = Array.from({ length: 10 }, (_, call) =>
      shop.products.bulkUpdate(call % 2 === 0 ? updates : updates.toReversed(), { batchSize: 10 }),
    );
    await Promise.all(calls);
    expect(await shop.products.aggregate({ _min: { revision: true }, _max: { revision: true } })).toEqual([
      { _min: { revision: 11 }, _max: { revision: 11 } },
    ]);
  });

  test('names every bad entry before anything is changed', async () => {
    await make(2);
    const updates = [
      { key: { id: 1 }, data: { stock: 5 } },
      { key: { id: 1 }, data: { name: 'again' } },
      { key: {}, data: {} },
      { key: { id: 2, name: 'x' }, data: { id: 3, name: { increment: 1 }, stock: { increment: 0.5 } } },
      { key: { id: 3 }, data: { stock: 1 }, expect: { colour: 1, tags: [] } },
      null,
      { key: { id: 4 }, data: 'x' },
    ];
    await expect(shop.products.bulkUpdate(given(updates))).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: {
        faults: [
          'updates[2]',
          'updates[2].key.id',
          'updates[3].key.name',
          'updates[3].data.id',
          'updates[3].data.name',
          'updates[3].data.stock.increment',
          'updates[4].expect.colour',
          'updates[4].expect.tags',
          'updates[5]',
          'updates[5].key.id',
          'updates[6].data',
          'updates[6]',
          'updates[1]',
        ].map((path) => expect.objectContaining({ path })),
      },
    });
    expect(await stock()).toEqual([0, 1]);
    await expect(shop.products.bulkCreate(given([null]))).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    await expect(shop.products.bulkDelete(given([null]))).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
  });
});

describe('deleting', () => {
  test('marks rows, which nobody sees any more, or takes them away', async () => {
    await make(5);
    expect(await shop.products.bulkDelete([{ id: 1 }, { id: 2 }, { id: 9 }], { batchSize: 1 })).toEqual({ count: 2 });
    expect(await shop.products.bulkDelete([{ id: 1 }])).toEqual({ count: 0 });
    expect(await shop.products.paginate()).toMatchObject({ total: 3 });
    expect(await shop.products.paginate({ withDeleted: true })).toMatchObject({ total: 5 });
    expect((await shop.products.paginateWithCursor()).data).toHaveLength(3);
    expect(await shop.products.batchLoader('id').loadMany([1, 3])).toEqual([null, expect.objectContaining({ id: 3 })]);
    expect(await shop.products.bulkDelete([{ id: 3 }, { id: 4 }], { softDelete: false })).toEqual({ count: 2 });
    expect(await stock()).toEqual([0, 1, 4]);
    await expect(shop.products.bulkDelete([{ id: 5 }, given({ no: 5 })])).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: [{ path: 'keys[1].no' }, { path: 'keys[1].id' }] },
    });
    expect(await stock()).toEqual([0, 1, 4]);
  });
});

test('in a transaction of the caller’s all of it is undone with the rest, and a failure only by itself', async () => {
  await make(2);
  const enough = new Error('enough');
  await expect(
    shop.database.postgres.transaction(async (tx) => {
      const products = new QueryPatterns(tx, productTable);
      await products.bulkCreate([{ id: 7, stock: 7 }]);
      await expect(products.bulkCreate([{ id: 8 }, { id: 1 }])).rejects.toMatchObject({
        code: 'DATA_CONSISTENCY_ERROR',
      });
      expect((await products.paginateWithCursor({ limit: 2 })).nextCursor).not.toBeNull();
      expect(await products.paginate()).toMatchObject({ total: 3 });
      throw enough;
    }),
  ).rejects.toBe(enough);
  expect(await stock()).toEqual([0, 1]);
});
