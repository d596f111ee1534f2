import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { indexId } from '../../../src/domain/search/indexes/index-document.ts';
import type { TableSource } from '../../../src/domain/search/indexes/table-source.ts';
import { useDatabase } from '../../services/database.ts';
import { streamOfTable, type StreamOfTable } from './stream-of-table.ts';
import { defineTable, fieldsOf, readAll, scanAll } from './table-sources.ts';

const database = useDatabase();
beforeAll(async () => {
  // For every session but those that say otherwise, as a server in Nepal might have it; before the pool has its own.
  const client = await database.postgres.connectDirect('settings');
  const name = client.escapeIdentifier(client.database ?? '');
  await client.query(`ALTER DATABASE ${name} SET timezone = 'Asia/Kathmandu'`);
  await client.query(`ALTER DATABASE ${name} SET datestyle = 'SQL, DMY'`);
  await client.end();
});

describe('the document of a row', () => {
  const digits = (most: number) => fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: most });
  const text = fc.string({ unit: 'binary', maxLength: 60 }).map((value) => value.replaceAll('\0', ''));
  const year = fc.integer({ min: 1, max: 12_000 }).map((value) => String(value).padStart(4, '0'));
  const two = (max: number, min = 0) => fc.integer({ min, max }).map((value) => String(value).padStart(2, '0'));
  const day = fc.oneof(
    fc.constantFrom('infinity', '-infinity', '0044-03-15 BC', '2024-02-29', '0001-01-01', '9999-12-31'),
    fc.tuple(year, two(12, 1), two(28, 1)).map((parts) => parts.join('-')),
  );
  const time = fc
    .tuple(two(23), two(59), two(59), fc.integer({ min: 0, max: 999_999 }))
    .map(([h, m, s, micros]) => `${h}:${m}:${s}.${String(micros).padStart(6, '0')}`);
  const moment = fc.oneof(
    fc.constantFrom(
      'infinity',
      '-infinity',
      '0044-03-15 12:00:00 BC',
      '2024-03-31 01:30:00',
      '9999-12-31 23:59:59.999999',
    ),
    fc.tuple(year, two(12, 1), two(28, 1), time).map(([y, m, d, at]) => `${y}-${m}-${d} ${at}`),
  );
  const zoned = fc
    .tuple(moment, fc.constantFrom('+00', '+05:45', '-11', '+13:30'))
    .map(([at, zone]) => (at.endsWith('BC') || at.endsWith('infinity') ? at : `${at}${zone}`));
  const json = fc
    .tuple(fc.jsonValue({ maxDepth: 3, stringUnit: 'grapheme' }), fc.constantFrom(undefined, 1, '\t'))
    .map(([value, indent]) => JSON.stringify(value, undefined, indent))
    .filter((value) => !value.includes('\\u'));
  const number = (value: number): string => (Object.is(value, -0) ? '-0' : String(value));

  /** By column: its type, and texts that Postgres takes for one. */
  const columns = {
    small: ['smallint', fc.integer({ min: -32_768, max: 32_767 }).map(String)],
    whole: ['integer', fc.maxSafeInteger().map((value) => String(value % 2_147_483_648))],
    large: ['bigint', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)],
    exact: [
      'numeric',
      fc.oneof(
        fc.constantFrom('NaN', 'Infinity', '-Infinity', '0.000', '-0', '1e30'),
        fc
          .tuple(fc.boolean(), digits(30), digits(30))
          .map(([minus, a, b]) => `${minus ? '-' : ''}${a.join('')}.${b.join('')}`),
      ),
    ],
    money_like: ['numeric(12,2)', fc.integer().map((cents) => (cents / 100).toFixed(2))],
    single: ['real', fc.float().map(number)],
    double: ['double precision', fc.double().map(number)],
    flag: ['boolean', fc.boolean().map(String)],
    words: ['text', text],
    short: ['character varying(30)', text.map((value) => Array.from(value).slice(0, 30).join(''))],
    padded: [
      'character(6)',
      fc.array(fc.constantFrom(' ', '\t', 'a', 'é', '🦀', '\u00a0'), { maxLength: 6 }).map((all) => all.join('')),
    ],
    identifier: ['uuid', fc.uuid()],
    mood: ['public.mood', fc.constantFrom('fine', 'so so', 'quote " and \\')],
    postcode: ['public.postcode', text.filter((value) => value !== '')],
    born: ['date', day],
    seen: ['timestamp with time zone', zoned],
    seen_to_ms: ['timestamp(3) with time zone', zoned],
    local: ['timestamp without time zone', moment],
    raw: ['json', json],
    parsed: ['jsonb', json],
  } as const satisfies Readonly<Record<string, readonly [string, fc.Arbitrary<string>]>>;
  const names = Object.keys(columns);
  const row = fc.tuple(
    ...Object.values(columns).map(([, value]) => fc.option(value as fc.Arbitrary<string>, { freq: 8 })),
  );

  let source: TableSource;
  let stream: StreamOfTable;
  beforeAll(async () => {
    await database.query(`CREATE TYPE public.mood AS ENUM ('fine', 'so so', 'quote " and \\')`);
    await database.query(`CREATE DOMAIN public.postcode AS text CHECK (value <> '')`);
    const list = Object.entries(columns).map(([name, [type]]) => `${name} ${type}`);
    await database.query(
      `CREATE TABLE public.everything (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${list.join(', ')})`,
    );
    const fields = Object.fromEntries(names.map((name) => [name, name]));
    source = await defineTable(database, { name: 'everything', table: 'public.everything', fields });
    stream = await streamOfTable(database, source);
  });
  afterAll(() => stream.close());

  const insert = (rows: readonly (readonly (string | null)[])[]) =>
    database.query<{ id: string }>(
      `INSERT INTO public.everything (${names.join(', ')})
       SELECT ${Object.values(columns)
         .map(([type], place) => `(given ->> ${place})::${type}`)
         .join(', ')}
       FROM unnest($1::jsonb[]) WITH ORDINALITY AS all_given (given, place) ORDER BY place RETURNING id::text`,
      [rows.map((values) => JSON.stringify(values))],
    );

  it('is the same, byte by byte, of the change stream and of a query, whatever the values', async () => {
    expect(source.watches[0]?.carriesRows).toBe(true);
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 20 }), async (rows) => {
        const ids = await insert(rows);
        const told = (await stream.take(rows.length)).map(({ image }) => image?.row && source.documentOf?.(image.row));
        const keys = ids.map(({ id }) => ({ workspaceId: '', id }));
        const read = await readAll(database, source, keys);
        expect(told).toEqual(read);
        for (const [place, { json: document }] of read.entries()) {
          expect(document).not.toContain('\n');
          const shown = JSON.parse(document) as Record<string, unknown>;
          const given = Object.fromEntries(names.map((name, column) => [name, rows[place]?.[column] ?? null]));
          expect(shown['words']).toBe(given['words']);
          expect(shown['short']).toBe(given['short']);
          expect(shown['mood']).toBe(given['mood']);
          expect(shown['postcode']).toBe(given['postcode']);
          expect(shown['padded']).toBe(given['padded']?.replace(/ +$/, '') ?? null);
          expect(shown['flag']).toBe(given['flag'] === null ? null : given['flag'] === 'true');
          expect(shown['raw']).toEqual(JSON.parse(given['raw'] ?? 'null'));
          expect(document).toContain(`"large":${given['large'] ?? 'null'},`);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('has moments in UTC, wherever the server is', async () => {
    await database.query('TRUNCATE public.everything');
    await database.query(`INSERT INTO public.everything (seen, seen_to_ms, local, born)
      VALUES ('2024-03-31 01:30:00+05:45', '2024-03-31 01:30:00.1239', '2024-03-31 01:30:00.000001', '2024-03-31')`);
    expect(await fieldsOf(database, source)).toMatchObject([
      {
        seen: '2024-03-30T19:45:00Z',
        seen_to_ms: '2024-03-30T19:45:00.124Z',
        local: '2024-03-31T01:30:00.000001Z',
        born: '2024-03-31',
      },
    ]);
  });

  it('has null for what JSON and Elasticsearch have no word for', async () => {
    await database.query('TRUNCATE public.everything');
    await database.query(`INSERT INTO public.everything (exact, single, double, born, seen, local)
      VALUES ('NaN', 'Infinity', '-Infinity', 'infinity', '-infinity', '0044-03-15 BC')`);
    expect(await fieldsOf(database, source)).toMatchObject([
      { exact: null, single: null, double: null, born: null, seen: null, local: null },
    ]);
  });

  it('is read again when the stream leaves a large value out, or has no such column', async () => {
    await database.query('TRUNCATE public.everything');
    const large = Array.from({ length: 4_000 }, (_, index) => String(index * 7_919)).join('');
    const [{ id } = { id: '' }] = await database.query<{ id: string }>(
      'INSERT INTO public.everything (words) VALUES ($1) RETURNING id::text',
      [large],
    );
    /** What the stream tells next of this row, behind what is left of others. */
    const next = async () => {
      for (;;) {
        const told = (await stream.take(1)).findLast((entity) => entity.id === id);
        if (told) return told;
      }
    };
    expect((await next()).image).toBeDefined();
    await database.query('UPDATE public.everything SET whole = 1');
    expect((await next()).image).toBeUndefined();
    expect(source.documentOf?.((name) => (name === 'whole' ? undefined : '1'))).toBeUndefined();
  });

  it('is not carried where the stream would not tell all of it', async () => {
    await database.query(`CREATE TABLE public.derived (id uuid PRIMARY KEY, name text, tags text[], nested jsonb[],
      upper_name text GENERATED ALWAYS AS (upper(name)) STORED)`);
    await database.query(`INSERT INTO public.derived VALUES ('0198f1f2-7a3c-7cc0-8a3b-111111111111', 'loom',
      ARRAY['a', NULL, 'quote "'], ARRAY['{"a": 1}']::jsonb[])`);
    const generated = await defineTable(database, {
      name: 'derived',
      table: 'public.derived',
      fields: { upper: 'upper_name' },
    });
    expect(generated.documentOf).toBeUndefined();
    expect(await fieldsOf(database, generated)).toMatchObject([{ upper: 'LOOM' }]);
    const arrays = await defineTable(database, {
      name: 'derived',
      table: 'public.derived',
      fields: { tags: 'tags', nested: 'nested' },
    });
    expect(arrays.documentOf).toBeUndefined();
    expect(await fieldsOf(database, arrays)).toMatchObject([{ tags: ['a', null, 'quote "'], nested: [{ a: 1 }] }]);
  });
});

describe('keys', () => {
  const cases = {
    uuid: { type: 'uuid', id: `md5(n::text)::uuid` },
    bigint: { type: 'bigint', id: 'n * 4503599627370497' },
    numeric: { type: 'numeric(20,2)', id: 'n / 4.0' },
    text: { type: 'text', id: `(ARRAY['ä', 'a', 'B', '🦀', 'z"', E'\\\\'])[1 + n % 6] || n` },
    enum: { type: 'public.size', id: `(ARRAY['s', 'm', 'l']::public.size[])[1 + n % 3]`, workspaces: 700 },
  } as const;
  const rows = 1_700;
  beforeAll(async () => {
    await database.query(`CREATE TYPE public.size AS ENUM ('s', 'm', 'l')`);
  });

  it.each(Object.entries(cases))(
    'of %s: a scan goes through the table in order, without gaps',
    async (name, { type, id, ...more }) => {
      const perWorkspace = 'workspaces' in more ? 3 : rows;
      await database.query(`CREATE TABLE public.keyed_${name} (id ${type}, ws text, note text, PRIMARY KEY (ws, id))`);
      await database.query(
        `INSERT INTO public.keyed_${name} SELECT ${id}, 'w:' || n / ${perWorkspace}, n FROM generate_series(0, ${rows - 1}) AS n`,
      );
      const table = `public.keyed_${name}`;
      const order = async (columns: string) =>
        (
          await database.query<{ id: string; ws: string }>(
            `SELECT id::text, ws FROM ${table} ORDER BY ${columns.replace('id', `${table}.id`)}`,
          )
        ).map((row) => `${row.ws} ${row.id}`);
      const composite = await defineTable(database, {
        name: 'keyed',
        table,
        workspace: 'ws',
        fields: { note: 'note' },
      });
      const found = await scanAll(database, composite);
      expect(found.map((one) => `${one.workspaceId} ${one.id}`)).toEqual(await order('ws, id'));
      const keys = found.filter((_, place) => place % 3 === 0);
      expect(await readAll(database, composite, [...keys, { workspaceId: 'none', id: found[0]?.id ?? '' }])).toEqual(
        keys,
      );
      const gone = { workspaceId: 'w', id: found[1]?.id ?? '' };
      expect(await composite.absent(database.postgres, [...keys.slice(0, 3), gone])).toEqual([gone]);
      if (perWorkspace !== rows) return;
      await database.query(`ALTER TABLE ${table} ADD UNIQUE (id)`);
      const alone = await defineTable(database, { name: 'keyed', table, fields: { note: 'note' } });
      const inOrder = (await database.query<{ id: string }>(`SELECT id::text FROM ${table} ORDER BY ${table}.id`)).map(
        (row) => row.id,
      );
      expect((await scanAll(database, alone)).map((one) => one.id)).toEqual(inOrder);
      const unique = await defineTable(database, { name: 'keyed', table, workspace: 'ws', fields: { note: 'note' } });
      expect((await scanAll(database, unique)).map((one) => one.id)).toEqual(inOrder);
      expect(await readAll(database, unique, found.slice(0, 700))).toHaveLength(700);
    },
  );

  it('large rows come in pages of some megabytes, each once', async () => {
    await database.query('CREATE TABLE public.heavy (id integer PRIMARY KEY, body text)');
    await database.query(
      `INSERT INTO public.heavy SELECT n, repeat(md5(n::text), 40000) FROM generate_series(1, 16) AS n`,
    );
    await database.query('ALTER TABLE public.heavy ALTER COLUMN body SET STORAGE EXTERNAL');
    await database.query(`UPDATE public.heavy SET body = body || 'x'`);
    const heavy = await defineTable(database, { name: 'heavy', table: 'public.heavy', fields: { body: 'body' } });
    const first = await heavy.scan(database.postgres, undefined);
    expect(first.length).toBeGreaterThan(1);
    expect(first.length).toBeLessThan(16);
    expect((await scanAll(database, heavy)).map(({ id }) => Number(id))).toEqual(
      Array.from({ length: 16 }, (_, n) => n + 1),
    );
    const keys = Array.from({ length: 16 }, (_, n) => ({ workspaceId: '', id: String(n + 1) }));
    expect(await readAll(database, heavy, keys)).toHaveLength(16);
  });

  it('rows of no workspace are no documents', async () => {
    await database.query('CREATE TABLE public.loose (id integer PRIMARY KEY, ws uuid, kin integer)');
    await database.query(
      `INSERT INTO public.loose VALUES (1, NULL, 7), (2, '0198f1f2-7a3c-7cc0-8a3b-111111111111', 7)`,
    );
    const loose = await defineTable(database, {
      name: 'loose',
      table: 'public.loose',
      workspace: 'ws',
      fields: { kin: 'kin' },
      one: { other: { table: 'public.loose', on: { id: 'kin' }, fields: { kin_of_kin: 'kin' } } },
    });
    expect((await scanAll(database, loose)).map(({ id }) => id)).toEqual(['2']);
    expect(await loose.showing(database.postgres, 'loose/one/other', ['["7"]'], undefined)).toEqual([
      { workspaceId: '0198f1f2-7a3c-7cc0-8a3b-111111111111', id: '2' },
    ]);
  });

  it('of two workspaces never meet in one id of the index', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('a', ':', '%', '%3A', 'a:b'), fc.constantFrom('a', ':', '%', 'b:c')), {
          minLength: 2,
        }),
        (pairs) => {
          const distinct = new Set(pairs.map((pair) => JSON.stringify(pair)));
          expect(new Set(pairs.map(([workspaceId, id]) => indexId({ workspaceId, id }))).size).toBe(distinct.size);
        },
      ),
    );
  });
});
