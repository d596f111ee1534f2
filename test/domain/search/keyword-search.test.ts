import { randomUUID } from 'node:crypto';
import { sample, string } from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { SearchInput } from '../../../src/domain/search/search-request.ts';
import { useDatabase } from '../../services/database.ts';
import { onEachBackend } from './on-each-backend.ts';

const database = useDatabase();
onEachBackend(database, (world) => {
  const find = async (workspaceId: string, query: string, more: Partial<SearchInput> = {}) =>
    world.search.search({ workspaceId, query, mode: 'keyword', ...more });
  const titles = async (workspaceId: string, query: string, more: Partial<SearchInput> = {}): Promise<string[]> =>
    (await find(workspaceId, query, more)).hits.map((hit) => hit.title);

  describe('words', () => {
    let ws = '';
    beforeAll(async () => {
      ws = await world.workspace();
      await world.write(ws, {
        title: 'Running replicas',
        content: 'The replicas are streaming changes from the primary.',
      });
      await world.write(ws, { title: 'Café Zürich', content: 'Øl, smørrebrød and crème brûlée on the menu.' });
      await world.write(ws, {
        title: '@fastify/cookie',
        content: 'Parse and set cookies. See node.js docs at https://nodejs.org/api/http.html.',
      });
      await world.write(ws, { title: 'Cookie policy', content: 'We use a fastify server; nothing about parsing.' });
      await world.write(ws, { title: '知识网络', content: '这是一个用于管理知识的平台，支持全文搜索。' });
      await world.write(ws, {
        title: 'Rust crab 🦀',
        content: 'Ferris 🦀 says “hello—world” and goes.',
        excerpt: 'a mascot',
      });
      await world.write(ws, { title: 'The Who', content: 'British rock band.' });
      await world.write(ws, {
        title: 'Kubernetes deployment guide',
        content: 'Roll out pods.',
        tags: ['Infrastructure', 'containers'],
      });
      await world.write(ws, { title: 'C++ templates', content: 'SFINAE and concepts.' });
      await world.write(ws, { title: 'Data 100% pure_data', content: 'Percent.' });
      await world.settle();
    });

    it('are found by their stem', async () => {
      expect(await titles(ws, 'replica stream')).toEqual(['Running replicas']);
      expect(await titles(ws, 'run')).toEqual(['Running replicas']);
    });

    it('are found without their accents, and with others', async () => {
      expect(await titles(ws, 'cafe zurich')).toEqual(['Café Zürich']);
      expect(await titles(ws, 'Cafè')).toEqual(['Café Zürich']);
      expect(await titles(ws, 'smorrebrod creme')).toEqual(['Café Zürich']);
      expect(await titles(ws, 'CAFÉ')).toEqual(['Café Zürich']);
    });

    it('are found inside of paths, hosts, addresses and curly quotes', async () => {
      expect(await titles(ws, 'cookie')).toEqual(['Cookie policy', '@fastify/cookie']);
      expect(await titles(ws, '@fastify/cookie')).toEqual(['@fastify/cookie']);
      expect(await titles(ws, 'node.js')).toEqual(['@fastify/cookie']);
      expect(await titles(ws, 'nodejs.org')).toEqual(['@fastify/cookie']);
      expect(await titles(ws, 'hello')).toEqual(['Rust crab 🦀']);
      expect(await titles(ws, 'world')).toEqual(['Rust crab 🦀']);
    });

    it('are found in scripts without spaces and among pictographs', async () => {
      expect(await titles(ws, '知识')).toEqual(['知识网络']);
      expect(await titles(ws, '搜索')).toEqual(['知识网络']);
      expect(await titles(ws, '索搜')).toEqual([]);
      expect(await titles(ws, '🦀')).toEqual(['Rust crab 🦀']);
    });

    it('in quotes stand in that order, with a minus are not there, and or gives a choice', async () => {
      expect(await titles(ws, '"streaming changes"')).toEqual(['Running replicas']);
      expect(await titles(ws, '"changes streaming"')).toEqual([]);
      expect(await titles(ws, 'cookie -policy')).toEqual(['@fastify/cookie']);
      expect((await titles(ws, 'ferris OR sfinae')).toSorted()).toEqual(['C++ templates', 'Rust crab 🦀']);
    });

    it('that are only stop words or punctuation are looked for in titles as they are', async () => {
      expect(await titles(ws, 'the who')).toEqual(['The Who']);
      expect(await titles(ws, '++')).toEqual(['C++ templates']);
      expect(await titles(ws, '100%')).toEqual(['Data 100% pure_data']);
      expect(await titles(ws, '%')).toEqual(['Data 100% pure_data']);
    });

    it('of titles and tags are found in spite of a spelling mistake', async () => {
      expect(await titles(ws, 'kuberntes')).toEqual(['Kubernetes deployment guide']);
      expect(await titles(ws, 'kubernetes deploymnet')).toEqual(['Kubernetes deployment guide']);
      expect(await titles(ws, 'infrastrucure')).toEqual(['Kubernetes deployment guide']);
      expect(await titles(ws, 'xylophone')).toEqual([]);
    });

    it('weigh more in the title than in the content, and the exact title most', async () => {
      const own = await world.workspace();
      await world.write(own, { title: 'Notes', content: 'redis redis redis redis and more redis' });
      await world.write(own, { title: 'Using Redis for caches', content: 'x' });
      await world.write(own, { title: 'Redis', content: 'x' });
      await world.settle();
      expect(await titles(own, 'redis')).toEqual(['Redis', 'Using Redis for caches', 'Notes']);
    });

    it('never fail, whatever is typed', async () => {
      const odd = [
        '"',
        '""',
        '"unclosed',
        "'",
        '\\',
        '& | ! ( ) : * <->',
        'a:*',
        '!!!',
        '-',
        '--',
        '- -',
        'or',
        'or or',
        'OR a',
        '-"x y"',
        '((((',
        '\0',
        '\ud800',
        '𝒜𝓑',
        '\u{10ffff}',
        '🏳️‍🌈',
        'ﷺ',
        '\u202e abc',
        'é'.normalize('NFD'),
        '½ ™ ©',
        'İ',
        'ß',
        '%_\\',
        '<script>',
        ' \n\t ',
        'x'.repeat(500),
        '"'.repeat(499),
        '-a '.repeat(160),
        'a or '.repeat(100),
        '🦀'.repeat(500),
        'ก็',
        '한국어',
        'ar عربى',
        "l'été d''or",
        'a\u0000b',
        'ﷺ'.repeat(500),
        'word '.repeat(100),
        `${'a.b '.repeat(60)}-"c d" or e`,
        ...sample(string({ unit: 'binary', maxLength: 60 }), { seed: 7, numRuns: 20 }),
      ];
      for (const title of ['🦀'.repeat(500), 'ﷺ'.repeat(500), '\u0001\u202e "]}', '-'])
        await world.write(ws, { title });
      await world.settle();
      for (const query of odd) {
        for (const mode of ['keyword', 'hybrid'] as const) {
          const { total, hits } = await world.search.search({ workspaceId: ws, query, mode });
          expect(hits.length).toBeLessThanOrEqual(20);
          expect(total).toBeGreaterThanOrEqual(0);
        }
        await world.search.suggest(ws, Array.from(query).slice(0, 64).join(''));
      }
    });

    it('beyond 500 characters are refused by name', async () => {
      await expect(find(ws, 'x'.repeat(501))).rejects.toMatchObject({
        code: 'VALIDATION_ERROR',
        details: { faults: [{ path: 'query' }] },
      });
      await expect(world.search.suggest(ws, 'x'.repeat(65))).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    });
  });

  describe('a page', () => {
    let ws = '';
    const ids: string[] = [];
    beforeAll(async () => {
      ws = await world.workspace();
      for (let index = 0; index < 25; index += 1) {
        ids.push(await world.write(ws, { title: `Same title ${index % 5}`, content: 'equal words everywhere' }));
      }
      await world.settle();
    });

    it('follows the one before through the cursor without gap or repetition, in every order', async () => {
      for (const sort of ['relevance', 'newest', 'oldest', 'title'] as const) {
        for (const query of ['equal', '']) {
          const seen: string[] = [];
          let cursor: string | undefined;
          do {
            const page = await find(ws, query, { sort, limit: 7, ...(cursor ? { cursor } : {}) });
            expect(page.total).toBe(25);
            seen.push(...page.hits.map((hit) => hit.id));
            cursor = page.nextCursor ?? undefined;
          } while (cursor);
          expect(seen).toHaveLength(25);
          expect(new Set(seen)).toEqual(new Set(ids));
        }
      }
    });

    it('is the same by offset as by cursor', async () => {
      const whole = await find(ws, 'equal', { limit: 25 });
      const second = await find(ws, 'equal', { limit: 10, offset: 10 });
      expect(second.hits.map((hit) => hit.id)).toEqual(whole.hits.slice(10, 20).map((hit) => hit.id));
    });

    it('refuses a cursor that is none, was changed, or belongs to another search', async () => {
      const { nextCursor } = await find(ws, 'equal', { limit: 5 });
      const cursor = nextCursor ?? '';
      const changed = Buffer.from(cursor, 'base64url')
        .toString('utf8')
        .replace(/[0-9](?=[^0-9]*$)/, '#');
      for (const [query, given] of [
        ['equal', 'nonsense'],
        ['equal', Buffer.from(changed).toString('base64url')],
        ['words', cursor],
      ] as const) {
        await expect(find(ws, query, { limit: 5, cursor: given })).rejects.toMatchObject({
          code: 'VALIDATION_ERROR',
          details: { faults: [{ path: 'cursor' }] },
        });
      }
    });

    it('may begin up to 10,000 by offset, and names every fault of a request at once', async () => {
      await expect(find(ws, 'equal', { limit: 20, offset: 9_980 })).resolves.toMatchObject({ hits: [], total: 25 });
      await expect(
        world.search.search({ workspaceId: 'x', query: 'a', limit: 0, offset: 10_000 }),
      ).rejects.toMatchObject({
        code: 'VALIDATION_ERROR',
        details: {
          faults: expect.arrayContaining([
            expect.objectContaining({ path: 'workspaceId' }),
            expect.objectContaining({ path: 'limit' }),
          ]),
        },
      });
      await expect(find(ws, 'equal', { limit: 20, offset: 9_981 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    });

    it('lists by recency without a query', async () => {
      await database.query(`UPDATE treadle.knowledge SET title = title || ' changed' WHERE id = $1`, [ids[3]]);
      await world.settle();
      const { hits } = await find(ws, '', { limit: 1 });
      expect(hits[0]?.id).toBe(ids[3]);
    });
  });

  describe('filters and facets', () => {
    let ws = '';
    let ada = '';
    beforeAll(async () => {
      ws = await world.workspace();
      const other = await world.workspace();
      ada = await world.author(ws, 'Ada');
      const bob = await world.author(ws, 'Bob');
      await world.write(ws, {
        title: 'One fox',
        tags: ['animal', 'red'],
        authorId: ada,
        createdAt: '2025-01-31T23:30:00Z',
      });
      await world.write(ws, {
        title: 'Two fox',
        tags: ['animal'],
        authorId: bob,
        status: 'draft',
        createdAt: '2025-02-01T00:30:00Z',
      });
      await world.write(ws, { title: 'Three fox', tags: ['red'], authorId: ada, createdAt: '2025-02-10T00:00:00Z' });
      await world.write(ws, { title: 'Four dog', tags: ['animal'], createdAt: '2025-03-01T00:00:00Z' });
      const stranger = await world.author(other, 'Stranger');
      await world.write(other, { title: 'Foreign fox', tags: ['animal', 'secret'], authorId: stranger });
      await world.settle();
    });

    it('count exactly what words and filters match, in this workspace alone', async () => {
      const { total, facets } = await find(ws, 'fox');
      expect(total).toBe(3);
      expect(facets.tags).toEqual([
        { value: 'animal', count: 2 },
        { value: 'red', count: 2 },
      ]);
      expect(facets.authors.map(({ name, count }) => ({ name, count }))).toEqual([
        { name: 'Ada', count: 2 },
        { name: 'Bob', count: 1 },
      ]);
      expect(facets.status).toEqual([
        { value: 'published', count: 2 },
        { value: 'draft', count: 1 },
      ]);
      expect(facets.timeline).toEqual([
        { value: '2025-01', count: 1 },
        { value: '2025-02', count: 2 },
      ]);
    });

    it('narrow by tag, author, status and time, alone and together', async () => {
      expect((await titles(ws, 'fox', { filters: { tags: ['red'] } })).toSorted()).toEqual(['One fox', 'Three fox']);
      expect(await titles(ws, '', { filters: { tags: ['red', 'animal'] } })).toHaveLength(4);
      expect(await titles(ws, '', { filters: { authors: [ada], tags: ['animal'] } })).toEqual(['One fox']);
      expect(await titles(ws, 'fox', { filters: { status: ['draft'] } })).toEqual(['Two fox']);
      expect(await titles(ws, 'fox', { filters: { months: ['2025-01'] } })).toHaveLength(1);
      expect(await titles(ws, 'fox', { filters: { months: ['2025-01', '2025-02', '2024-12'] } })).toHaveLength(3);
      expect(await titles(ws, 'fox', { filters: { from: new Date(Date.now() + 60_000) } })).toEqual([]);
      expect(
        await titles(ws, 'fox', { filters: { from: new Date(0), to: new Date(Date.now() + 60_000) } }),
      ).toHaveLength(3);
      expect(await titles(ws, '', { filters: { collections: [randomUUID()] } })).toEqual([]);
    });

    it('see nothing of a workspace that does not exist', async () => {
      expect(await find(randomUUID(), 'fox')).toMatchObject({ total: 0, hits: [], nextCursor: null });
    });
  });
});
