import { beforeAll, describe, expect, it } from 'vitest';
import type { DocumentKey } from '../../../src/domain/search/indexes/index-source.ts';
import type { TableSource } from '../../../src/domain/search/indexes/table-source.ts';
import { useDatabase } from '../../services/database.ts';
import { defineTable, fieldsOf, scanAll } from './table-sources.ts';

const database = useDatabase();

describe('joined rows', () => {
  let source: TableSource;
  beforeAll(async () => {
    await database.query(
      `CREATE TABLE public.maker (country character(2), code text, name text, since timestamptz, rating numeric, PRIMARY KEY (country, code))`,
    );
    await database.query(
      `CREATE TABLE public.thing (ws integer, id integer, country character(2), code text, PRIMARY KEY (ws, id))`,
    );
    await database.query(`CREATE TABLE public.label (id integer PRIMARY KEY, name text, at timestamptz, data json)`);
    await database.query(
      `CREATE TABLE public.thing_label (ws integer, thing integer, label integer, PRIMARY KEY (ws, thing, label))`,
    );
    await database.query(
      `CREATE TABLE public.note (id integer PRIMARY KEY, ws integer, thing integer, weight double precision)`,
    );
    source = await defineTable(database, {
      name: 'things',
      table: 'public.thing',
      workspace: 'ws',
      fields: { code: 'code' },
      one: {
        same: {
          table: 'public.maker',
          on: { country: 'country', code: 'code' },
          fields: { maker: 'name', since: 'since', rating: 'rating', country: 'country' },
        },
      },
      many: {
        same_labels: {
          table: 'public.label',
          on: { id: 'label' },
          through: { table: 'public.thing_label', on: { ws: 'ws', thing: 'id' } },
          column: 'name',
        },
        data: {
          table: 'public.label',
          on: { id: 'label' },
          through: { table: 'public.thing_label', on: { ws: 'ws', thing: 'id' } },
          column: 'data',
        },
        same: { table: 'public.note', on: { ws: 'ws', thing: 'id' }, column: 'weight' },
      },
    });
    await database.query(
      `INSERT INTO public.maker VALUES ('de', 'x', 'Eks', '2024-03-04 05:06:07+05:45', 'NaN'), ('d', 'x', 'Short', NULL, 1.50)`,
    );
    await database.query(
      `INSERT INTO public.thing VALUES (1, 1, 'de', 'x'), (1, 2, 'd', 'x'), (1, 3, NULL, 'x'), (2, 1, 'zz', 'none')`,
    );
    await database.query(
      `INSERT INTO public.label VALUES (1, 'Zoë', '2024-01-01', E'{"a":\\n1}'), (2, 'b"', NULL, NULL), (3, NULL, NULL, '[]')`,
    );
    await database.query(`INSERT INTO public.thing_label VALUES (1, 1, 1), (1, 1, 2), (1, 1, 3), (2, 1, 2)`);
    await database.query(
      `INSERT INTO public.note VALUES (1, 1, 1, 0.5), (2, 1, 1, 'NaN'), (3, 1, 1, 0.25), (4, 2, 1, 7)`,
    );
  });
  const showing = async (kind: string, ...keys: readonly (readonly string[])[]): Promise<readonly string[]> => {
    const ids = keys.map((key) => JSON.stringify(key));
    return (await source.showing(database.postgres, kind, ids, undefined)).map((key) => `${key.workspaceId}/${key.id}`);
  };

  it('are in the document, with null and nothing for those that are not there', async () => {
    expect(await fieldsOf(database, source)).toEqual([
      {
        id: '1',
        workspace_id: '1',
        code: 'x',
        maker: 'Eks',
        since: '2024-03-03T23:21:07Z',
        rating: null,
        country: 'de',
        same_labels: ['Zoë', 'b"', null],
        data: [[], { a: 1 }, null],
        same: [0.25, 0.5, null],
      },
      {
        id: '2',
        workspace_id: '1',
        code: 'x',
        maker: 'Short',
        since: null,
        rating: 1.5,
        country: 'd',
        same_labels: [],
        data: [],
        same: [],
      },
      {
        id: '3',
        workspace_id: '1',
        code: 'x',
        maker: null,
        since: null,
        rating: null,
        country: null,
        same_labels: [],
        data: [],
        same: [],
      },
      {
        id: '1',
        workspace_id: '2',
        code: 'none',
        maker: null,
        since: null,
        rating: null,
        country: null,
        same_labels: ['b"'],
        data: [null],
        same: [7],
      },
    ]);
    for (const { json } of await scanAll(database, source)) expect(json).not.toContain('\n');
  });

  it('are found in exactly the documents that show them, whether they are there or gone', async () => {
    expect(await showing('things/one/same', ['de', 'x'])).toEqual(['1/1']);
    expect(await showing('things/one/same', ['d ', 'x'], ['zz', 'none'])).toEqual(['1/2', '2/1']);
    expect(await showing('things/one/same', ['fr', 'x'])).toEqual([]);
    expect(await showing('things/many/same_labels', ['2'])).toEqual(['1/1', '2/1']);
    expect(await showing('things/many/same_labels', ['1'], ['99'])).toEqual(['1/1']);
    expect(await showing('things/many/same_labels/link', ['1', '3'])).toEqual(['1/3']);
    expect(await showing('things/many/same', ['2', '1'], ['1', '2'])).toEqual(['1/2', '2/1']);
    await database.query('DELETE FROM public.maker');
    await database.query('DELETE FROM public.label WHERE id = 1');
    await database.query('DELETE FROM public.note WHERE ws = 2');
    expect(await showing('things/one/same', ['de', 'x'])).toEqual(['1/1']);
    expect(await showing('things/many/same_labels', ['1'])).toEqual(['1/1']);
    expect(await showing('things/many/same', ['2', '1'])).toEqual(['2/1']);
  });

  it('are found in any number of documents, page by page', async () => {
    await database.query(`INSERT INTO public.thing SELECT 5, n, 'it', 'many' FROM generate_series(1, 2345) AS n`);
    const found: DocumentKey[] = [];
    for (let after: DocumentKey | undefined; ;) {
      const page = await source.showing(database.postgres, 'things/one/same', ['["it","many"]'], after);
      after = page.at(-1);
      if (after === undefined) break;
      found.push(...page);
    }
    expect(found.map(({ id }) => Number(id))).toEqual(Array.from({ length: 2_345 }, (_, n) => n + 1));
  });
});
