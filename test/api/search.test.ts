import { beforeAll, describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();
const ids: Record<string, string> = {};

/** Writes a document and does what its embedding job would. */
const write = async (title: string, content: string, tags: readonly string[] = []): Promise<void> => {
  const workspace = await api.platform.workspaces.ensure('library');
  const written = await api.platform.knowledge.create(workspace.id, {
    title,
    content,
    tags: [...tags],
    status: 'published',
  });
  await api.platform.embeddings.refresh(written);
  ids[title] = written.id;
};
beforeAll(async () => {
  await write('Treadles', 'A treadle drives a loom: the weaver presses it with the foot.', ['weaving']);
  await write('Spindles', 'A spindle twists fibres into yarn <b>by hand</b>.', ['spinning']);
  await write('Looms', 'Looms hold the warp under tension.', ['weaving']);
  await api.platform.workspaces.create({ name: 'empty' });
});
const search = (body: Record<string, unknown>, ws = 'library') =>
  api.call('POST', `/v1/workspaces/${ws}/search`, { body });
const titles = (answer: { body: { hits: { title: string }[] } }): string[] =>
  answer.body.hits.map(({ title }) => title);

describe('search', () => {
  test.each(['keyword', 'semantic', 'hybrid'])(
    '%s finds the document about it first, with everything a page of results needs',
    async (mode) => {
      const answer = await search({ query: 'weaver foot', mode });
      expect(answer.status).toBe(200);
      expect(titles(answer)[0]).toBe('Treadles');
      expect(answer.body).toMatchObject({
        searchId: expect.any(String),
        total: expect.any(Number),
        facets: { tags: expect.any(Array), authors: [], status: expect.any(Array), timeline: expect.any(Array) },
        tookMs: expect.any(Number),
        backend: 'postgres',
        degraded: false,
      });
      expect(answer.body.hits[0]).toMatchObject({ id: ids['Treadles'], status: 'published', tags: ['weaving'] });
    },
  );

  test('marks what matched, and escapes the rest', async () => {
    const [hit] = (await search({ query: 'yarn', mode: 'keyword' })).body.hits;
    expect(hit.highlights.join(' ')).toContain('<mark>yarn</mark>');
    expect(hit.highlights.join(' ')).not.toContain('<b>');
  });

  test('filters, sorts and pages', async () => {
    const first = await search({ filters: { tags: ['weaving'] }, sort: 'title', limit: 1 });
    expect(titles(first)).toEqual(['Looms']);
    expect(first.body.total).toBe(2);
    const second = await search({
      filters: { tags: ['weaving'] },
      sort: 'title',
      limit: 1,
      cursor: first.body.nextCursor,
    });
    expect(titles(second)).toEqual(['Treadles']);
    expect((await search({ filters: { from: '2099-01-01T00:00:00Z' } })).body.total).toBe(0);
  });

  test('finds nothing of other workspaces', async () => {
    expect((await search({ query: 'treadle' }, 'empty')).body).toMatchObject({ total: 0, hits: [], nextCursor: null });
  });

  test.each([
    [{ query: 'x'.repeat(501) }, 'query'],
    [{ query: 'a\u0000b' }, 'query'],
    [{ query: 7 }, 'query'],
    [{ mode: 'psychic' }, 'mode'],
    [{ filters: { authors: ['me'] } }, 'filters.authors[0]'],
    [{ filters: { colour: 'red' } }, 'filters.colour'],
    [{ filters: { months: ['2026-13'] } }, 'filters.months[0]'],
    [{ sort: 'random' }, 'sort'],
    [{ limit: 0 }, 'limit'],
    [{ limit: 101 }, 'limit'],
    [{ offset: 10_000 }, 'offset'],
    [{ cursor: 'nonsense' }, 'cursor'],
    [{ workspaceId: '00000000-0000-7000-8000-000000000000' }, 'workspaceId'],
  ])('refuses %j', async (body, path) => {
    const answer = await search(body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe(path);
  });

  test('of a workspace that does not exist is 404', async () => {
    expect((await search({ query: 'x' }, 'nowhere')).status).toBe(404);
  });
});

describe('suggest', () => {
  test('answers titles and tags that begin like what is typed', async () => {
    const answer = await api.call('GET', '/v1/workspaces/library/suggest?q=tread');
    expect(answer.body.titles).toEqual([{ id: ids['Treadles'], title: 'Treadles' }]);
    expect((await api.call('GET', '/v1/workspaces/library/suggest?q=weav')).body.tags).toEqual(['weaving']);
    expect((await api.call('GET', '/v1/workspaces/empty/suggest?q=tread')).body).toEqual({ titles: [], tags: [] });
  });

  test.each([
    ['', 'q'],
    [`?q=${'x'.repeat(65)}`, 'q'],
    ['?q=a&limit=3', 'limit'],
    ['?q=a%00b', 'q'],
  ])('refuses %s', async (query, path) => {
    const answer = await api.call('GET', `/v1/workspaces/library/suggest${query}`);
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe(path);
  });
});
