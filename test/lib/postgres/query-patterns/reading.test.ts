import { inspect } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { defineTable } from '../../../../src/lib/postgres/query-patterns/table-definition.ts';
import { QueryPatterns } from '../../../../src/lib/postgres/query-patterns/query-patterns.ts';
import { useProducts } from './products.ts';
import { sql } from 'kysely';

const shop = useProducts();
const owner = '0196f0aa-0000-7000-8000-00000000000a';
const faultsOf = (paths: readonly string[]) => ({
  code: 'VALIDATION_ERROR',
  details: { faults: paths.map((path) => expect.objectContaining({ path })) },
});

beforeAll(async () => {
  await shop.products.bulkCreate([
    { id: 1, name: 'Audio cable', Order: 'a', stock: 5, views: 2n ** 62n + 1n, price: '10.10', tags: ['audio'] },
    { id: 2, name: 'Video CABLE 100%', Order: 'b', stock: 7, views: 3, price: '0.00000000000000000001', owner },
    { id: 3, name: 'Plug_a', Order: null, stock: 7, weight: 1.5, active: false, made_on: '2026-02-28' },
    { id: 4, name: String.raw`Back\slash`, Order: 'a', stock: 0, extra: { colour: 'red', sizes: [1, 2] } },
    { id: 5, name: 'Plugga', Order: 'c', stock: 9, views: 10, tags: ['audio', "o'clock, {x}"] },
  ]);
  await shop.database.query(`UPDATE shop."Products$" SET created_at = timestamptz '2026-03-01' + id * interval '1 us'`);
  await shop.products.bulkDelete([{ id: 5 }]);
});

const ids = async (where: Parameters<typeof shop.products.buildOptimizedWhere>[0]): Promise<readonly number[]> =>
  (await shop.products.paginate({ where, orderBy: { id: 'asc' }, select: ['id'] })).data.map(({ id }) => id);

test('a page by number tells how many there are, and where it lies among them', async () => {
  const page = await shop.products.paginate({
    page: 2,
    pageSize: 3,
    orderBy: { name: 'desc' },
    select: ['id', 'name'],
  });
  expect(page).toEqual({
    data: [{ id: 1, name: 'Audio cable' }],
    total: 4,
    page: 2,
    pageSize: 3,
    totalPages: 2,
    hasNextPage: false,
    hasPreviousPage: true,
  });
  expect(await shop.products.paginate({ pageSize: 2 })).toMatchObject({ hasNextPage: true, hasPreviousPage: false });
  expect(await shop.products.paginate({ where: { id: 99 } })).toMatchObject({ data: [], total: 0, totalPages: 0 });
  expect(await shop.products.paginate({ page: 9 })).toMatchObject({ data: [], total: 4, hasNextPage: false });
});

test('rows hold every digit, every list and every JSON value as they were given', async () => {
  const { data } = await shop.products.paginate({ orderBy: { id: 'asc' }, withDeleted: true });
  expect(data).toMatchObject([
    { views: 2n ** 62n + 1n, price: '10.10', weight: null, tags: ['audio'], extra: null, deleted_at: null },
    { views: 3n, price: '0.00000000000000000001', owner, active: true },
    { views: null, weight: 1.5, active: false, made_on: '2026-02-28', created_at: new Date('2026-03-01') },
    { extra: { colour: 'red', sizes: [1, 2] }, tags: [] },
    { tags: ['audio', "o'clock, {x}"], deleted_at: expect.any(Date) },
  ]);
  expect(data[0]).not.toHaveProperty('not_named');
});

const filters: readonly (readonly [Parameters<typeof ids>[0], readonly number[]])[] = [
  [{}, [1, 2, 3, 4]],
  [{ stock: 7, active: undefined }, [2, 3]],
  [{ stock: [0, 5], Order: 'a' }, [1, 4]],
  [{ stock: [] }, []],
  [{ Order: null }, [3]],
  [{ Order: { not: null } }, [1, 2, 4]],
  [{ Order: { not: 'a' } }, [2, 3]],
  [{ stock: { gte: 5, lt: 7 } }, [1]],
  [{ stock: { gt: 0, lte: 5 } }, [1]],
  [{ views: { gt: 2n ** 62n } }, [1]],
  [{ views: { gt: '4611686018427387905' } }, []],
  [{ price: 10.1 }, [1]],
  [{ price: { lt: '0.00000000000000000002' } }, [2]],
  [{ name: { contains: 'cable' } }, [1, 2]],
  [{ name: { contains: '100%' } }, [2]],
  [{ name: { contains: 'g_a' } }, [3]],
  [{ name: { contains: '\\' } }, [4]],
  [{ tags: { contains: ['audio'] } }, [1]],
  [{ extra: { contains: { sizes: [2] } } }, [4]],
  [{ owner: owner.toUpperCase() }, [2]],
  [{ made_on: { lte: '2026-02-28' } }, [3]],
  [{ created_at: { lte: '2026-03-01T00:00:00.000002Z' } }, [1, 2]],
  [{ created_at: { gt: new Date('2026-03-01') } }, [1, 2, 3, 4]],
];

test('filters find the rows that meet all of their conditions', async () => {
  for (const [where, expected] of filters) expect(await ids(where), `the filter ${inspect(where)}`).toEqual(expected);
});

test('words are found in any of the fields, and signs of patterns mean themselves', async () => {
  const find = async (text: string) =>
    (await shop.products.search(text, { fields: ['name', 'Order'], select: ['id'] })).map(({ id }) => id);
  expect(await find(' cable  A ')).toEqual([1, 2]);
  expect(await find('CABLE b')).toEqual([1, 2]);
  expect(await find('%')).toEqual([2]);
  expect(await find('_')).toEqual([3]);
  expect(await find('\\')).toEqual([4]);
  expect(await find("'; DROP TABLE shop; --")).toEqual([]);
  expect(await shop.products.search('cable', { fields: ['name'], limit: 1, where: { stock: 7 } })).toHaveLength(1);
});

test('the latest and the most popular come first, without rows that have no such value', async () => {
  expect((await shop.products.getRecent({ limit: 2 })).map(({ id }) => id)).toEqual([4, 3]);
  expect(await shop.products.getPopular('views', { select: ['id'], where: { active: true } })).toEqual([
    { id: 1 },
    { id: 2 },
  ]);
});

test('groups are counted, added up and averaged, and their extremes found', async () => {
  const all = { _count: true, _sum: { views: true, price: true, stock: true }, _avg: { stock: true } } as const;
  expect(await shop.products.aggregate(all)).toEqual([
    {
      _count: 4,
      _sum: { views: 2n ** 62n + 4n, price: '10.10000000000000000001', stock: 19n },
      _avg: { stock: 4.75 },
    },
  ]);
  const groups = await shop.products.aggregate({
    groupBy: ['Order', 'active'],
    where: { stock: { lt: 9 } },
    _count: true,
    _min: { created_at: true, views: true, name: true },
    _max: { stock: true, made_on: true, active: true },
  });
  expect(groups).toEqual([
    {
      Order: 'a',
      active: true,
      _count: 2,
      _min: { created_at: new Date('2026-03-01'), views: 2n ** 62n + 1n, name: 'Audio cable' },
      _max: { stock: 5, made_on: null, active: true },
    },
    expect.objectContaining({ Order: 'b', _count: 1 }),
    expect.objectContaining({ Order: null, active: false, _max: { stock: 7, made_on: '2026-02-28', active: false } }),
  ]);
  expect(await shop.products.aggregate({ where: { id: 99 }, _count: true, _sum: { stock: true } })).toEqual([
    { _count: 0, _sum: { stock: null } },
  ]);
});

test('checked lists of columns and filters serve in statements of an app’s own', async () => {
  const { products, database } = shop;
  const { rows } = await sql`
    SELECT ${products.getOptimizedSelect(['id', 'views'])} FROM shop."Products$"
    WHERE ${products.buildOptimizedWhere({ stock: { gte: 7 } })} ORDER BY id`.execute(database.postgres.db);
  expect(rows).toEqual([
    { id: 2, views: '3' },
    { id: 3, views: null },
  ]);
});

describe('what reaches no statement', () => {
  const evil = 'id"; DROP TABLE shop."Products$"; --';
  const given = (value: unknown): never => value as never;
  const nested = (depth: number): unknown => Array.from({ length: depth }).reduce((inner) => [inner], 1);

  test.each<[string, () => Promise<unknown>, readonly string[]]>([
    ['columns', () => shop.products.paginate({ select: given(['id', evil]) }), ['select[1]']],
    ['orders', () => shop.products.paginateWithCursor({ orderBy: given({ [evil]: 'asc' }) }), [`orderBy.${evil}`]],
    ['directions', () => shop.products.paginate({ orderBy: given({ id: evil }) }), ['orderBy.id']],
    ['orders of lists', () => shop.products.paginate({ orderBy: { tags: 'asc' } }), ['orderBy.tags']],
    ['filters', () => shop.products.paginate({ where: given({ not_named: 'x' }) }), ['where.not_named']],
    ['comparisons', () => shop.products.paginate({ where: given({ id: { [evil]: 1 } }) }), [`where.id.${evil}`]],
    [
      'empty comparisons',
      () => shop.products.paginate({ where: given({ id: {}, stock: new Map() }) }),
      ['where.id', 'where.stock'],
    ],
    ['groups', () => shop.products.aggregate({ groupBy: given([evil]), _count: true }), ['groupBy[0]']],
    ['sums', () => shop.products.aggregate({ _sum: { name: true } }), ['_sum.name', '']],
    ['popular fields', () => shop.products.getPopular(given('__proto__')), ['field']],
    ['searched fields', () => shop.products.search('a', { fields: given(['id', 'none']) }), ['fields[0]', 'fields[1]']],
    ['empty searches', () => shop.products.search('  ', { fields: ['name'] }), ['text']],
    ['loaders', async () => shop.products.batchLoader(given('created_at')), ['by']],
    [
      'values',
      () =>
        shop.products.paginate({
          page: 0,
          pageSize: 101,
          where: given({ id: [1, 1.5], stock: 2 ** 31, owner: 'x', active: 1, created_at: '2026-02-30T00:00:00Z' }),
        }),
      ['pageSize', 'page', 'where.id[1]', 'where.stock', 'where.owner', 'where.active', 'where.created_at'],
    ],
    [
      'other values',
      () =>
        shop.products.paginate({
          where: given({ name: 'a\0', views: 2n ** 63n, price: '1e5', made_on: '2026-02-30', tags: ['a'] }),
        }),
      ['where.name', 'where.views', 'where.price', 'where.made_on', 'where.tags'],
    ],
    [
      'filters nested too deep',
      () => shop.products.paginate({ where: { extra: { contains: nested(20_000) } } }),
      ['where.extra.contains'],
    ],
    [
      'things that are no filter',
      () => shop.products.paginate({ where: given('x'), orderBy: given(['id']) }),
      ['where', 'orderBy'],
    ],
    [
      'things that are no list',
      () => shop.products.paginate({ select: given('id'), pageSize: given({}) }),
      ['pageSize', 'select'],
    ],
    [
      'things that are no sum',
      () => shop.products.aggregate({ groupBy: given(5), _sum: given(5), _count: true }),
      ['groupBy', '_sum'],
    ],
    ['things that are no text', () => shop.products.search(given(null), { fields: given('name') }), ['text', 'fields']],
    ['things that are no cursor', () => shop.products.paginateWithCursor({ cursor: given({}) }), ['cursor']],
  ])('%s that the table does not have are refused by name', async (_what, call, paths) => {
    await expect(call()).rejects.toMatchObject(faultsOf(paths));
  });

  test('a table that is none is refused whole', () => {
    const table = { schema: evil, name: '', columns: { a: given('money'), b: 'text' }, primaryKey: ['c'] };
    expect(() => defineTable(given(table))).toThrow(expect.objectContaining(faultsOf(['schema', 'name', 'columns.a'])));
    expect(() =>
      defineTable({
        name: 'n',
        columns: { a: 'text', b: 'text' },
        primaryKey: [given('constructor')],
        softDelete: 'b',
      }),
    ).toThrow(expect.objectContaining(faultsOf(['primaryKey[0]', 'softDelete'])));
  });
});

test('one statement loads what is asked in one tick: each key its row, or null', async () => {
  const loader = shop.products.batchLoader('owner', { select: ['id'] });
  const before = shop.database.postgres.queries.performance().queries;
  const found = await Promise.all([loader.load(owner.toUpperCase()), loader.load(owner.replace(/a$/, 'b'))]);
  expect(found).toEqual([{ id: 2 }, null]);
  await expect(loader.load('nonsense')).rejects.toMatchObject(faultsOf(['owner']));
  expect(await loader.load(owner)).toEqual({ id: 2 });
  expect(shop.database.postgres.queries.performance().queries - before).toBe(1);
});

test('the tags of any number of documents take two statements', async () => {
  const { database } = shop;
  const [workspace] = await database.query<{ id: string }>(
    `INSERT INTO treadle.workspaces (name) VALUES ('tags') RETURNING id`,
  );
  const documents = await database.query<{ id: string }>(
    `INSERT INTO treadle.knowledge (workspace_id, title) SELECT $1, 'title ' || n FROM generate_series(1, 3) AS n RETURNING id`,
    [workspace?.id],
  );
  await database.query(
    `WITH made AS (INSERT INTO treadle.tags (workspace_id, name) VALUES ($1, 'red'), ($1, 'blue') RETURNING id, name)
     INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
     SELECT $1, $2::uuid, id FROM made UNION ALL SELECT $1, $3, id FROM made WHERE name = 'red'`,
    [workspace?.id, documents[0]?.id, documents[1]?.id],
  );
  const tags = new QueryPatterns(
    database.postgres,
    defineTable({ schema: 'treadle', name: 'tags', columns: { id: 'uuid', name: 'text' }, primaryKey: ['id'] }),
  );
  const links = new QueryPatterns(
    database.postgres,
    defineTable({
      schema: 'treadle',
      name: 'knowledge_tags',
      columns: { knowledge_id: 'uuid', tag_id: 'uuid' },
      primaryKey: ['knowledge_id', 'tag_id'],
    }),
  );
  const tagsById = tags.batchLoader('id');
  const linksOf = links.batchListLoader('knowledge_id');
  const before = database.postgres.queries.performance().queries;
  const named = await Promise.all(
    documents.map(async ({ id }) => {
      const found = await tagsById.loadMany((await linksOf.load(id)).map((link) => link.tag_id));
      return found.map((tag) => (tag instanceof Error ? '' : (tag?.name ?? ''))).toSorted((a, b) => (a < b ? -1 : 1));
    }),
  );
  expect(named).toEqual([['blue', 'red'], ['red'], []]);
  expect(database.postgres.queries.performance().queries - before).toBe(2);
});
