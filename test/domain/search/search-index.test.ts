import { readFileSync } from 'node:fs';
import { Client } from 'pg';
import { beforeAll, describe, expect, it } from 'vitest';
import { countAndRank } from '../../../src/domain/search/postgres/count-and-rank.ts';
import { useDatabase } from '../../services/database.ts';
import { SearchWorld } from './search-world.ts';

const database = useDatabase();
const world = new SearchWorld(database);
let ws = '';
beforeAll(async () => {
  ws = await world.workspace();
});

const found = async (query: string): Promise<string[]> => {
  const { hits } = await world.search.search({ workspaceId: ws, query, mode: 'keyword' });
  return hits.map((hit) => hit.id);
};
const tagFacet = async (): Promise<string[]> => {
  const { facets } = await world.search.search({ workspaceId: ws, query: '', mode: 'keyword' });
  return facets.tags.map(({ value }) => value);
};

describe('what is searched follows what is written, by whomever', () => {
  it('through insert, update, delete and truncate in plain SQL', async () => {
    const id = await world.write(ws, { title: 'Wombat', content: 'burrows' });
    expect(await found('wombat')).toEqual([id]);
    await database.query(`UPDATE treadle.knowledge SET title = 'Numbat', status = 'archived' WHERE id = $1`, [id]);
    expect(await found('wombat')).toEqual([]);
    expect(await found('numbat')).toEqual([id]);
    await database.query(`UPDATE treadle.knowledge SET status = 'draft' WHERE id = $1`, [id]);
    const { facets } = await world.search.search({ workspaceId: ws, query: 'numbat', mode: 'keyword' });
    expect(facets.status).toEqual([{ value: 'draft', count: 1 }]);
    await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
    expect(await found('numbat')).toEqual([]);
    await world.write(ws, { title: 'Quokka' });
    await database.query('TRUNCATE treadle.knowledge CASCADE');
    expect(await database.query('SELECT 1 FROM treadle.search_documents')).toEqual([]);
  });

  it('through tags given, taken, renamed and deleted', async () => {
    const id = await world.write(ws, { title: 'Tagged', content: 'words', tags: ['marsupial', 'small'] });
    expect(await found('marsupial')).toEqual([id]);
    await database.query(`UPDATE treadle.tags SET name = 'monotreme' WHERE name = 'marsupial' AND workspace_id = $1`, [
      ws,
    ]);
    expect(await found('marsupial')).toEqual([]);
    expect(await found('monotreme words')).toEqual([id]);
    expect(await tagFacet()).toEqual(['monotreme', 'small']);
    await database.query(`DELETE FROM treadle.tags WHERE name = 'monotreme' AND workspace_id = $1`, [ws]);
    expect(await found('monotreme')).toEqual([]);
    await database.query('DELETE FROM treadle.knowledge_tags WHERE knowledge_id = $1', [id]);
    expect(await tagFacet()).toEqual([]);
    expect(await found('tagged')).toEqual([id]);
  });

  it('through many rows in one statement', async () => {
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title) SELECT $1, 'bulk ' || i FROM generate_series(1, 500) AS i`,
      [ws],
    );
    await database.query(`UPDATE treadle.knowledge SET content = 'bulky' WHERE title LIKE 'bulk %'`);
    const { total } = await world.search.search({ workspaceId: ws, query: 'bulky', mode: 'keyword' });
    expect(total).toBe(500);
  });
});

it('words are marked with their accents, too', async () => {
  await world.write(ws, { title: 'Menu', content: 'Crème brûlée in the Café.' });
  const { hits } = await world.search.search({ workspaceId: ws, query: 'creme cafe', mode: 'keyword' });
  expect(hits[0]?.highlights).toEqual(['<mark>Crème</mark> brûlée in the <mark>Café</mark>.']);
});

describe('a write never fails because of search', () => {
  it('however many different words a document has', async () => {
    const words = Array.from({ length: 700_000 }, (_, index) => index.toString(36).padStart(6, 'q')).join(' ');
    const id = await world.write(ws, { title: 'Endless narwhal', content: words });
    expect(await found('narwhal')).toEqual([id]);
    expect(await found('qqqq0a')).toEqual([id]);
  });

  it('with words of any length, and no words at all', async () => {
    const id = await world.write(ws, { title: 'Long axolotl', content: `${'x'.repeat(5_000)} ${'y'.repeat(100_000)}` });
    await world.write(ws, { title: '…', content: '\u0001\u0002 --- \u200b' });
    expect(await found('axolotl')).toEqual([id]);
  });

  it('even when its table refuses the row, which is noted down and repaired', async () => {
    await database.query(`ALTER TABLE treadle.search_documents ADD CONSTRAINT broken CHECK (title <> 'Refused okapi')`);
    const id = await world.write(ws, { title: 'Refused okapi' });
    const beside = await database.query<{ id: string }>(
      `INSERT INTO treadle.knowledge (workspace_id, title) VALUES ($1, 'Refused okapi'), ($1, 'Accepted okapi') RETURNING id`,
      [ws],
    );
    expect(await found('okapi')).toEqual([beside[1]?.id]);
    await database.query('ALTER TABLE treadle.search_documents DROP CONSTRAINT broken');
    await database.query('SELECT treadle.repair_search_documents()');
    expect((await found('okapi')).toSorted()).toEqual([id, ...beside.map((row) => row.id)].toSorted());
    expect(await database.query('SELECT 1 FROM treadle.search_repairs')).toEqual([]);
  });
});

describe('indexes', () => {
  beforeAll(async () => {
    await database.query(`INSERT INTO treadle.workspaces (name) SELECT 'crowd-' || i FROM generate_series(1, 4) AS i`);
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title, content)
       SELECT w.id, 'Report ' || i, 'contents of report number ' || md5(i::text) || CASE WHEN i % 500 = 0 THEN ' aardvark' ELSE '' END
       FROM treadle.workspaces AS w, generate_series(1, 2000) AS i WHERE w.name LIKE 'crowd-%'`,
    );
    await database.query('VACUUM ANALYZE treadle.search_documents');
  });

  it('serve a search by words, not a scan of every document', async () => {
    const [crowd] = await database.query<{ id: string }>(`SELECT id FROM treadle.workspaces WHERE name = 'crowd-1'`);
    const client = new Client({ connectionString: database.url });
    const notices: string[] = [];
    client.on('notice', (notice) => notices.push(notice.message ?? ''));
    await client.connect();
    try {
      await client.query(
        `LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_level = notice`,
      );
      const { total } = await countAndRank(client, {
        workspaceId: crowd?.id ?? '',
        match: { kind: 'words', websearch: 'aardvark', key: 'aardvark' },
        filters: {},
        sort: 'relevance',
        limit: 20,
        offset: 0,
      });
      expect(total).toBe(4);
    } finally {
      await client.end();
    }
    const plan = notices.join('\n');
    expect(plan).toContain('search_documents_vector');
    expect(plan).not.toMatch(/Seq Scan on search_documents/);
  });
});

describe('a server without the extensions', () => {
  const empty = useDatabase({ schema: 'empty' });
  beforeAll(async () => {
    const client = new Client({ connectionString: empty.url });
    await client.connect();
    // As on a server whose user may not create extensions: the attempt fails.
    for (const file of [
      '001_foundation',
      '002_jobs',
      '003_workspaces_and_knowledge',
      '004_embeddings',
      '005_search',
      '021_cursor_key',
    ]) {
      const [up = ''] = readFileSync(new URL(`../../../migrations/${file}.sql`, import.meta.url), 'utf8').split(
        '-- Down Migration',
      );
      await client.query(
        up.replaceAll(`'CREATE EXTENSION %I SCHEMA public', wanted`, `'CREATE EXTENSION %I SCHEMA nowhere', wanted`),
      );
    }
    await client.end();
  });

  it('still searches, without accents and without forgiving mistakes', async () => {
    const bare = new SearchWorld(empty);
    const [row] = await empty.query<{ capabilities: object }>('SELECT treadle.search_capabilities() AS capabilities');
    expect(row?.capabilities).toEqual({ trigrams: false, unaccent: false });
    const workspaceId = await bare.workspace();
    await bare.write(workspaceId, { title: 'Café Kubernetes', tags: ['Bénin'] });
    const titles = async (query: string) =>
      (await bare.search.search({ workspaceId, query, mode: 'keyword' })).hits.map((hit) => hit.title);
    expect(await titles('cafe')).toEqual(['Café Kubernetes']);
    expect(await titles('kuberntes')).toEqual([]);
    expect(await bare.search.suggest(workspaceId, 'kub')).toMatchObject({ titles: [{ title: 'Café Kubernetes' }] });
    expect(await bare.search.suggest(workspaceId, 'ben')).toMatchObject({ tags: ['Bénin'] });
  });
});
