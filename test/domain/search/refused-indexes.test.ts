import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { defineIndex } from '../../../src/domain/search/define-index.ts';
import { whyNotCurrent } from '../../../src/domain/search/index-currency.ts';
import { rebuildIndex } from '../../../src/domain/search/indexes/rebuild-index.ts';
import { SearchIndex } from '../../../src/domain/search/indexes/search-index.ts';
import { TableSource } from '../../../src/domain/search/indexes/table-source.ts';
import { loadIndexes } from '../../../src/domain/search/load-indexes.ts';
import { importModule } from '../../../src/queues/app-jobs/import-module.ts';
import { elasticsearchUrl } from '../../services/elasticsearch.ts';
import { useShop } from './use-shop.ts';

const modules = path.relative(process.cwd(), path.join(import.meta.dirname, 'bad-indexes'));
const keyword = { type: 'keyword' };
const sound = { name: 'things', table: 'shop.part', fields: { name: 'name' }, mapping: { name: keyword } };

describe('a definition', () => {
  it.each([
    ['a name of Treadle', { ...sound, name: 'knowledge' }, 'a name that Treadle uses itself'],
    ['a name of an alias', { ...sound, name: 'things-live' }, 'a name that Treadle uses itself'],
    ['a name in capitals', { ...sound, name: 'Things' }, 'lower case letters'],
    ['a table without schema', { ...sound, table: 'part' }, 'must be schema.table'],
    ["a table of Treadle's", { ...sound, table: 'treadle.jobs' }, "Treadle's own tables"],
    ['a field without mapping', { ...sound, mapping: {} }, 'has no property name'],
    ['a mapping without field', { ...sound, mapping: { name: keyword, more: keyword } }, 'has no field more'],
    ['a field that every index has', { ...sound, fields: { version: 'name' } }, 'fields.version'],
    [
      'a field given twice',
      { ...sound, many: { name: { table: 'a.b', on: { a: 'b' }, column: 'c' } } },
      'name is given twice',
    ],
    ['a join on nothing', { ...sound, one: { brand: { table: 'a.b', on: {}, fields: {} } } }, 'must name a column'],
    ['texts of no field', { ...sound, embed: ['body'] }, 'body is no field'],
    ['nothing', { ...sound, fields: {}, mapping: {} }, 'must name a field'],
  ])('with %s is refused, and it is said why', (_, definition, message) => {
    expect(() => defineIndex(definition)).toThrow(message);
  });
});

describe('a module of TREADLE_INDEXES', () => {
  it.each([
    ['not-there.ts', 'not-there.ts'],
    ['no-default.ts', 'no default export that defineIndex() answers'],
    ['something-else.ts', 'no default export that defineIndex() answers'],
    ['empty.ts', 'brings no index'],
    ['twice.ts', 'defines the index things once more'],
  ])('%s is refused by name', async (file, message) => {
    const loading = loadIndexes([`./${modules}/${file}`], importModule);
    await expect(loading).rejects.toMatchObject({ code: 'CONFIGURATION_ERROR' });
    await expect(loading).rejects.toThrow(`TREADLE_INDEXES: ./${modules}/${file}`);
    await expect(loading).rejects.toThrow(message);
  });
});

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] tables of an app', () => {
  const shop = useShop({
    sql: `CREATE VIEW shop.seen AS SELECT * FROM shop.brand;
      CREATE TABLE shop.split (id integer, name text) PARTITION BY LIST (id);
      CREATE TABLE shop.odd (id jsonb, at timestamptz PRIMARY KEY, flag boolean, name text);`,
  });
  const { database } = shop;
  const query = (text: string, values?: unknown[]) => database.query(text, values);
  beforeAll(() => shop.ready());

  it.each([
    [{ ...sound, table: 'shop.none' }, 'there is no table shop.none'],
    [{ ...sound, fields: { name: 'title' } }, 'the table shop.part has no column title'],
    [{ ...sound, id: 'key' }, 'the table shop.part has no column key'],
    [{ ...sound, workspace: 'owner' }, 'the table shop.part has no column owner'],
    [
      { ...sound, one: { brand: { table: 'shop.brand', on: { id: 'brand' }, fields: {} } } },
      'the table shop.part has no column brand',
    ],
    [
      { ...sound, one: { brand: { table: 'shop.brand', on: { key: 'id' }, fields: {} } } },
      'the table shop.brand has no column key',
    ],
    [{ ...sound, table: 'shop.seen' }, 'shop.seen is a view'],
    [{ ...sound, table: 'shop.split' }, 'shop.split is partitioned'],
    [{ ...sound, table: 'shop.odd' }, 'shop.odd.id is jsonb: keys are uuids, numbers or texts'],
    [{ ...sound, table: 'shop.odd', id: 'at' }, 'shop.odd.at is timestamp with time zone'],
    [{ ...sound, table: 'shop.odd', id: 'name', workspace: 'flag' }, 'shop.odd.flag is boolean'],
    [{ ...sound, embed: ['name'] }, 'embed needs a column of uuids, and shop.part.id is bigint'],
  ])('that do not fit %o stop the start', async (definition, message) => {
    const opening = TableSource.open(database.postgres, defineIndex(definition), { model: 'm', dimensions: 4 }, '');
    await expect(opening).rejects.toThrow(`TREADLE_INDEXES: the index things: ${message}`);
  });

  it('whose mapping Elasticsearch refuses are not indexed, and it is said why', async () => {
    const { platform } = shop;
    const bad = defineIndex({ ...sound, mapping: { name: { type: 'nonsense' } } });
    const prefix = platform.config.elasticsearch?.prefix ?? '';
    const source = await TableSource.open(database.postgres, bad, { model: 'm', dimensions: 4 }, prefix);
    const { elasticsearch } = shop.index('parts');
    const index = new SearchIndex({ source, elasticsearch, db: database.postgres });
    const building = rebuildIndex(index, {
      reason: 'test',
      signal: AbortSignal.timeout(20_000),
      onProgress: () => undefined,
      onFailed: () => Promise.resolve(),
    });
    await expect(building).rejects.toMatchObject({ code: 'EXTERNAL_SERVICE_ERROR', retryable: false });
    await expect(building).rejects.toThrow('mapper_parsing_exception');
  });

  const why = (name: string): Promise<string | undefined> => whyNotCurrent(shop.index(name));

  it('that lose their primary key go on taking UPDATEs: it is said what helps, and the other indexes go on', async () => {
    await query(`INSERT INTO shop.part VALUES (1, 'before')`);
    await query('ALTER TABLE shop.part DROP CONSTRAINT part_pkey');
    await expect
      .poll(() => why('parts'), { timeout: 20_000 })
      .toContain('ALTER TABLE shop.part REPLICA IDENTITY FULL;');
    await query(`UPDATE shop.part SET name = 'after'`);
    await query('DELETE FROM shop.brand');
    await query(`INSERT INTO shop.brand VALUES (1, 'one')`);
    await query(`INSERT INTO shop.product VALUES ('x', 1, 'goes on', 1)`);
    expect(await shop.documents('products')).toEqual(await shop.expected('products'));
    expect(shop.replicator.status).toMatchObject({ state: 'streaming', problem: undefined });
    expect(shop.replicator.status.sinks).toContainEqual(
      expect.objectContaining({ name: 'search.parts', state: 'unavailable' }),
    );
    await query('ALTER TABLE shop.part ADD PRIMARY KEY (id)');
    await expect.poll(() => why('parts'), { timeout: 30_000 }).toBeUndefined();
    expect((await shop.shown('parts')).get('1')).toMatchObject({ name: 'after' });
  });

  it('that lose a column keep what was written, and the other indexes go on', async () => {
    await query(`INSERT INTO shop.part VALUES (5, 'five', 'body of five')`);
    expect((await shop.shown('parts')).get('5')).toMatchObject({ body: 'body of five' });
    await query('ALTER TABLE shop.part DROP COLUMN body');
    await query('UPDATE shop.part SET weight = 1');
    await expect.poll(() => why('parts'), { timeout: 20_000 }).toBe('the table shop.part has no column body');
    await query(`INSERT INTO shop.product VALUES ('x', 2, 'goes on', 1)`);
    expect(await shop.documents('products')).toEqual(await shop.expected('products'));
    await query('ALTER TABLE shop.part ADD COLUMN body text');
    await expect.poll(() => why('parts'), { timeout: 30_000 }).toBeUndefined();
    expect(await shop.documents('parts')).toEqual(await shop.expected('parts'));
  });

  it('with a row that Elasticsearch refuses: it is kept as a job, and the others are written', async () => {
    await query('TRUNCATE shop.product');
    await query(`INSERT INTO shop.product SELECT 'x', n, 'fine', n FROM generate_series(1, 50) AS n`);
    // A key of more than 512 bytes.
    const long = 'y'.repeat(600);
    await query(`INSERT INTO shop.product VALUES ($1, 7, 'refused', 1), ('x', 51, 'fine', 1)`, [long]);
    expect((await shop.shown('products')).size).toBe(51);
    const jobs = await query(`SELECT DISTINCT payload FROM treadle.all_jobs WHERE name = 'search.sync-document'`);
    expect(jobs).toEqual([{ payload: { index: 'products', workspaceId: long, id: '7' } }]);
  });
});
