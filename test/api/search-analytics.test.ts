import { beforeAll, describe, expect, test } from 'vitest';
import { useApi, type Call } from './use-api.ts';

const api = useApi();
const documents: string[] = [];

beforeAll(async () => {
  for (const name of ['loft', 'cellar']) {
    const { id } = await api.platform.workspaces.create({ name });
    for (const title of ['Treadles', 'Looms', 'Spindles']) {
      const written = await api.platform.knowledge.create(id, { title, content: `${title} are tools of weavers.` });
      await api.platform.embeddings.refresh(written);
      documents.push(written.id);
    }
  }
});

const search = (ws: string, body: object, call: Call = {}) =>
  api.call('POST', `/v1/workspaces/${ws}/search`, { body, ...call });
const click = (ws: string, body: object) => api.call('POST', `/v1/workspaces/${ws}/search/clicks`, { body });
const trends = (ws: string, query = '', call: Call = {}) =>
  api.call('GET', `/v1/workspaces/${ws}/search/trends${query}`, call);

test('what is searched and clicked is in the trends of the workspace, and of no other', async () => {
  const first = await search('loft', { query: 'Weavers  TOOLS', limit: 2 });
  await search('loft', { query: 'weavers tools', limit: 2, cursor: first.body.nextCursor });
  await search('loft', { query: 'weavers tools', limit: 1, offset: 1 });
  await search('loft', { query: 'weavers tools', mode: 'keyword', sort: 'title' });
  await search('loft', { query: 'unicorns', mode: 'keyword' });
  await search('loft', { filters: { status: ['draft'] } });
  expect((await search('loft', { query: 'x'.repeat(501) })).status).toBe(400);

  const { searchId } = first.body;
  const [documentId] = documents;
  for (let time = 0; time < 2; time += 1) {
    expect(await click('loft', { searchId, documentId, position: 1 })).toMatchObject({ status: 204, body: '' });
  }
  // Nothing tells whether there is such a search.
  const elsewhere = await click('cellar', { searchId, documentId: documents[1], position: 1 });
  const nowhere = await click('cellar', { searchId: documents[0], documentId, position: 1 });
  const bare = ({ status, body, headers }: typeof nowhere) => ({ status, body, length: headers['content-length'] });
  expect(bare(elsewhere)).toEqual(bare(nowhere));

  const { status, body } = await trends('loft');
  expect(status).toBe(200);
  expect(body).toMatchObject({
    searches: 3,
    withoutResult: 1,
    degraded: 0,
    clicks: 1,
    clickThroughRate: 1 / 3,
    responseTime: { averageMs: expect.any(Number), p95Ms: expect.any(Number) },
    popularQueries: [
      { query: 'weavers tools', searches: 2 },
      { query: 'unicorns', searches: 1 },
    ],
    zeroResultQueries: [{ query: 'unicorns', searches: 1 }],
  });
  expect(body.searchVolume).toHaveLength(30);
  expect(body.searchVolume.at(-1)).toMatchObject({ searches: 3, withoutResult: 1, clicks: 1 });
  expect((await trends('cellar')).body).toMatchObject({
    searches: 0,
    clicks: 0,
    clickThroughRate: null,
    responseTime: null,
    popularQueries: [],
  });
});

test('searches answer while nothing can be kept, and none of them is lost', async () => {
  const { searches: before } = (await trends('loft')).body;
  const holder = await api.platform.postgres.pool.connect();
  try {
    await holder.query(
      'BEGIN; LOCK TABLE treadle.searches, treadle.search_days, treadle.search_queries IN ACCESS EXCLUSIVE MODE',
    );
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, n) => search('loft', { query: `loom ${n % 7}`, mode: 'keyword', limit: 1 })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    // The writer waits for the lock, and a search does not wait for the writer.
    const writer = () =>
      api.database.query<{ pid: number; since: string; isNew: boolean }>(
        `SELECT pid, xact_start::text AS since, now() - xact_start < interval '1 second' AS "isNew" FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO treadle.searches%'`,
      );
    const [waiting] = await api.until(async () => {
      const rows = await writer();
      return rows[0]?.isNew && rows;
    });
    expect((await search('loft', { query: 'loom', mode: 'keyword' })).status).toBe(200);
    expect(await writer()).toMatchObject([{ pid: waiting?.pid, since: waiting?.since }]);
    await holder.query('COMMIT');
  } finally {
    holder.release(true);
  }
  expect((await trends('loft')).body.searches).toBe(before + 301);
});

test.each([
  [{ documentId: 'x' }, 'documentId'],
  [{ searchId: 'a\u0000b' }, 'searchId'],
  [{ position: 0 }, 'position'],
  [{ position: 1.5 }, 'position'],
  [{ colour: 'red' }, 'colour'],
])('refuses a click with %j', async (fault, path) => {
  const answer = await click('loft', { searchId: documents[0], documentId: documents[0], position: 1, ...fault });
  expect(answer.status).toBe(400);
  expect(answer.body.error.details.faults[0].path).toBe(path);
});

test.each([
  ['?from=2026-02-30', 'from'],
  ['?to=yesterday', 'to'],
  ['?to=2026-01-01%00', 'to'],
  ['?from=0000-01-01', 'from'],
  ['?to=9999-12-31', 'to'],
  ['?from=2026-01-02&to=2026-01-02', 'from'],
  ['?from=2026-01-02T12:00:00Z&to=2026-01-02T11:00:00Z', 'from'],
  ['?from=2024-01-01&to=2025-01-02', 'from'],
  ['?from=2999-01-01', 'from'],
  ['?from=2026-01-01&from=2026-01-02', 'from'],
  ['?until=2026-01-01', 'until'],
])('refuses trends %s', async (query, path) => {
  const answer = await trends('loft', query);
  expect(answer.status).toBe(400);
  expect(answer.body.error.details.faults[0].path).toBe(path);
});

// Last: from the first key on everybody needs one.
describe('with keys', () => {
  test('clicks are for who searches, trends for who analyses; keys of a workspace see that one', async () => {
    const loft = (await api.platform.workspaces.get('loft')).id;
    const searcher = await api.key(['search:read'], { workspaceId: loft });
    const analyst = await api.key(['analytics:read'], { workspaceId: loft });
    const found = await search('loft', { query: 'private looms' }, { key: searcher });
    const body = { searchId: found.body.searchId, documentId: documents[0], position: 1 };
    expect((await api.call('POST', '/v1/workspaces/loft/search/clicks', { body, key: searcher })).status).toBe(204);
    expect((await api.call('POST', '/v1/workspaces/loft/search/clicks', { body, key: analyst })).status).toBe(403);
    expect((await trends('loft', '', { key: searcher })).status).toBe(403);
    expect((await trends('cellar', '', { key: analyst })).status).toBe(403);
    const { body: seen } = await trends('loft', '', { key: analyst });
    expect(seen.popularQueries).toContainEqual({ query: 'private looms', searches: 1 });
    const [row] = await api.database.query("SELECT user_id FROM treadle.searches WHERE query = 'private looms'");
    expect(row).toEqual({ user_id: expect.stringMatching(/^key:/) });
  });
});
