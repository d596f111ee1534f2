import { assert, asyncProperty, constantFrom, integer, option, record, uniqueArray, array } from 'fast-check';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import { kyselyOver } from '../../../../src/lib/postgres/kysely.ts';
import { QueryMetrics } from '../../../../src/lib/postgres/query-metrics.ts';
import { QueryPatterns } from '../../../../src/lib/postgres/query-patterns/query-patterns.ts';
import { productTable, useProducts } from './products.ts';

const shop = useProducts();

const orderable = [
  'name',
  'Order',
  'stock',
  'views',
  'weight',
  'price',
  'active',
  'owner',
  'created_at',
  'id',
] as const;
type Order = { readonly [Name in (typeof orderable)[number]]?: 'asc' | 'desc' };

/** Few values of each, so that rows are equal in all but their ids, and some without any. */
const fill = (from: number, to: number): Promise<unknown> =>
  shop.database.query(
    `INSERT INTO shop."Products$" (id, name, "Order", stock, views, weight, price, active, owner, created_at)
     SELECT n, (ARRAY['', 'a', 'B', 'ä', E'\\n"\\\\'])[1 + n % 5], CASE WHEN n % 3 > 0 THEN chr(96 + n % 4) END, n % 2,
       CASE WHEN n % 4 > 0 THEN 9223372036854775800 + n % 3 END, CASE WHEN n % 5 > 0 THEN 0.1::float8 * (n % 3) END,
       CASE WHEN n % 2 > 0 THEN 0.10 + (n % 3) * 1e-20 END, n % 3 = 0,
       CASE WHEN n % 7 > 0 THEN ('00000000-0000-4000-8000-00000000000' || n % 4)::uuid END,
       timestamptz '2026-03-01' + (n % 6) * interval '1 us'
     FROM generate_series($1::integer, $2::integer) AS n`,
    [from, to],
  );

const collate = (order: Order): string =>
  [...Object.entries(order), ...('id' in order ? [] : [['id', Object.values(order).at(-1) ?? 'asc']])]
    .map(([name, direction]) => `"${name}" ${direction}`)
    .join(', ');

const whole = async (order: Order): Promise<readonly number[]> =>
  (await shop.database.query<{ id: number }>(`SELECT id FROM shop."Products$" ORDER BY ${collate(order)}`)).map(
    ({ id }) => id,
  );

/** All pages from one end to the other; `between` runs after each. */
const follow = async (
  orderBy: Order,
  limit: number,
  { cursor, back = false, between }: { cursor?: string; back?: boolean; between?: () => Promise<unknown> } = {},
): Promise<{ readonly ids: readonly number[]; readonly end: string | undefined }> => {
  const pages: number[][] = [];
  let at = cursor;
  let end: string | undefined;
  for (;;) {
    const page = await shop.products.paginateWithCursor({ orderBy, limit, cursor: at, select: ['id'] });
    pages.push(page.data.map(({ id }) => id));
    expect([page.hasNextPage, page.hasPreviousPage]).toEqual([page.nextCursor !== null, page.previousCursor !== null]);
    end = (back ? page.nextCursor : page.previousCursor) ?? end;
    at = (back ? page.previousCursor : page.nextCursor) ?? undefined;
    if (at === undefined) break;
    await between?.();
  }
  return { ids: back ? pages.toReversed().flat() : pages.flat(), end };
};

const orders = uniqueArray(record({ name: constantFrom(...orderable), direction: constantFrom('asc', 'desc') }), {
  selector: ({ name }) => name,
  maxLength: 4,
}).map((list): Order => Object.fromEntries(list.map(({ name, direction }) => [name, direction])));

beforeAll(() => fill(1, 60));
beforeEach(() => shop.database.query('DELETE FROM shop."Products$" WHERE id > 60'));

test('pages put together are the whole table in any order, forwards and backwards', async () => {
  await assert(
    asyncProperty(orders, integer({ min: 1, max: 40 }), async (orderBy, limit) => {
      const expected = await whole(orderBy);
      const forwards = await follow(orderBy, limit);
      expect(forwards.ids).toEqual(expected);
      if (forwards.end === undefined) return;
      const backwards = await follow(orderBy, limit, { cursor: forwards.end, back: true });
      const last = expected.length - (expected.length % limit || limit);
      expect(backwards.ids).toEqual(expected.slice(0, last));
    }),
    { numRuns: 40 },
  );
});

test('rows that are there throughout come exactly once while others come and go', async () => {
  await assert(
    asyncProperty(
      orders,
      integer({ min: 2, max: 15 }),
      array(option(integer({ min: 61, max: 130 })), { minLength: 1, maxLength: 20 }),
      async (orderBy, limit, changes) => {
        await shop.database.query('DELETE FROM shop."Products$" WHERE id > 60');
        const expected = await whole(orderBy);
        let step = 0;
        const between = async (): Promise<void> => {
          const change = changes[step % changes.length] ?? null;
          step += 1;
          const there = await shop.database.query('SELECT FROM shop."Products$" WHERE id = $1', [change]);
          if (change === null) await shop.database.query('DELETE FROM shop."Products$" WHERE id > 60');
          else if (there.length === 0) await fill(change, change);
        };
        const { ids } = await follow(orderBy, limit, { between });
        expect(ids.filter((id) => id <= 60)).toEqual(expected);
        expect(new Set(ids).size).toBe(ids.length);
      },
    ),
    { numRuns: 20 },
  );
});

test('a cursor goes with its table, its filter and its order', async () => {
  const request = { orderBy: { stock: 'asc' }, where: { views: { gte: 5n } }, limit: 2 } as const;
  const { nextCursor } = await shop.products.paginateWithCursor(request);
  const cursor = nextCursor ?? '';
  expect((await shop.products.paginateWithCursor({ ...request, cursor, select: ['name'] })).data).toHaveLength(2);
  const refused = { code: 'VALIDATION_ERROR', details: { faults: [{ path: 'cursor' }] } };
  for (const other of [
    { where: {} },
    { where: { views: { gte: 6n } } },
    { withDeleted: true },
    { orderBy: { stock: 'desc' } },
    { orderBy: {} },
    { cursor: `${cursor.slice(0, -1)}${cursor.endsWith('A') ? 'B' : 'A'}` },
  ] as const) {
    await expect(shop.products.paginateWithCursor({ ...request, cursor, ...other })).rejects.toMatchObject(refused);
  }
});

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly Plan[];
}
const scansOf = (plan: Plan): readonly Plan[] => [
  ...(plan['Relation Name'] === undefined ? [] : [plan]),
  ...(plan.Plans ?? []).flatMap(scansOf),
];

/** The products, and how each statement on them is run. */
const explained = () => {
  const { postgres } = shop.database;
  const scans: Plan[] = [];
  const connection = {
    query: async (text: string, values: readonly unknown[]) => {
      const explain = `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`;
      const [plan] = await shop.database.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(explain, [...values]);
      scans.push(...(plan ? scansOf(plan['QUERY PLAN'][0].Plan) : []));
      return { command: 'SELECT' as const, rowCount: 0, rows: [] };
    },
    release: () => undefined,
  };
  const pool: PostgresPool = {
    connect: () => Promise.resolve(connection as unknown as PostgresPoolClient),
    end: () => Promise.resolve(),
    options: {},
  };
  const database = {
    db: kyselyOver(pool, new QueryMetrics()),
    query: postgres.query.bind(postgres),
    transaction: postgres.transaction.bind(postgres),
  };
  return { products: new QueryPatterns(database, productTable), scans };
};

test('a page far down reads ranges of indexes, and not the thousands of rows before it', async () => {
  const { products, scans } = explained();
  const cases = [{ created_at: 'asc' }, { Order: 'asc', stock: 'desc' }, { views: 'desc' }, { views: 'asc' }] as const;
  const deep = [3_001, 12_000, 20_001];
  const starts: { readonly orderBy: Order; readonly cursor: string }[] = [];
  await shop.empty();
  for (const id of deep) {
    await fill(id, id);
    for (const orderBy of cases) {
      // The row alone is its first page and its last: a second one leads past it.
      for (const neighbour of [id - 60, id + 60]) await fill(neighbour, neighbour);
      const { ids } = await follow(orderBy, 1);
      let cursor: string | null = null;
      for (let at = 0; at <= ids.indexOf(id) && at < 2; at += 1) {
        const page: { readonly nextCursor: string | null } = await shop.products.paginateWithCursor({
          orderBy,
          limit: 1,
          cursor: cursor ?? undefined,
        });
        cursor = page.nextCursor;
      }
      if (cursor !== null) starts.push({ orderBy, cursor });
      await shop.database.query('DELETE FROM shop."Products$" WHERE id <> $1', [id]);
    }
    await shop.empty();
  }
  expect(starts).toHaveLength(12);
  await fill(1, 21_000);
  for (const columns of ['created_at, id', '"Order", stock DESC, id DESC', 'views DESC, id DESC'])
    await shop.database.query(`CREATE INDEX ON shop."Products$" (${columns})`);
  await shop.database.query('ANALYZE shop."Products$"');
  for (const start of starts) {
    scans.length = 0;
    await products.paginateWithCursor({ ...start, limit: 20 });
    expect(scans.length).toBeGreaterThan(0);
    for (const scan of scans) expect(scan['Node Type']).toMatch(/^Index (?:Only )?Scan$/);
    const read = scans.reduce((sum, scan) => sum + scan['Actual Rows'] + (scan['Rows Removed by Filter'] ?? 0), 0);
    expect(read, `read by ${JSON.stringify(start.orderBy)}`).toBeLessThan(500);
  }
});
