import { beforeAll, describe, expect, it } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import type { SearchInput } from '../../../src/domain/search/search-request.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useIndex } from '../../services/elasticsearch.ts';
import { SearchWorld } from './search-world.ts';

/** Numbers from 0 to 1, the same in every run. */
const seeded = (start: number) => {
  let state = start;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
};

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] both backends', () => {
  const database = useDatabase();
  const inElasticsearch = new SearchWorld(database, { searched: useIndex(database, new LocalEmbedder()) });
  const inPostgres = new SearchWorld(database);
  const random = seeded(11);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const words = [
    'pool',
    'pools',
    'running',
    'mapping',
    'the',
    'node.js',
    'cafe',
    'café',
    'fox_trot',
    'of',
    '10',
    'C++',
  ];
  /** With an end of its own: to Postgres alone a phrase may begin in one field and end in the next. */
  const text = (most: number): string =>
    `${Array.from({ length: 1 + Math.floor(random() * most) }, () => pick(words)).join(' ')} end`;
  const tags = ['red fox', 'blue', 'node.js end', 'running end'];
  let ws = '';
  let authors: string[] = [];

  beforeAll(async () => {
    ws = await inElasticsearch.workspace();
    const other = await inElasticsearch.workspace();
    authors = [await inElasticsearch.author(ws, 'Ada'), await inElasticsearch.author(ws, 'Bob')];
    for (let each = 0; each < 60; each += 1) {
      await inElasticsearch.write(each % 6 === 0 ? other : ws, {
        title: text(3),
        content: text(8),
        excerpt: text(2),
        status: pick(['draft', 'published', 'archived']),
        tags: tags.filter(() => random() < 0.3),
        createdAt: `20${10 + Math.floor(random() * 15)}-0${1 + Math.floor(random() * 9)}-15T12:00:00Z`,
        ...(each % 6 !== 0 && random() < 0.6 ? { authorId: pick(authors) } : {}),
      });
    }
    await inElasticsearch.settle();
  });

  const query = (): string =>
    Array.from({ length: Math.floor(random() * 4) }, () => {
      const term = random() < 0.25 ? `"${pick(words)} ${pick(words)}"` : pick(words);
      return `${random() < 0.2 ? '-' : ''}${term}${random() < 0.2 ? ' or' : ''}`;
    }).join(' ');
  const filters = (): NonNullable<SearchInput['filters']> => ({
    ...(random() < 0.3 ? { tags: [pick(tags)] } : {}),
    ...(random() < 0.2 ? { authors: [pick(authors)] } : {}),
    ...(random() < 0.3 ? { status: [pick(['draft', 'published'] as const)] } : {}),
  });
  const asked = (world: SearchWorld, input: SearchInput) => world.search.search({ ...input, limit: 100 });

  it('find the same documents, totals and facets for words that are there', async () => {
    let matched = 0;
    for (let each = 0; each < 80; each += 1) {
      const input = { workspaceId: ws, query: query(), mode: 'keyword', filters: filters() } as const;
      const expected = await asked(inPostgres, input);
      const { total, facets, hits } = await asked(inElasticsearch, input);
      expect({ input, total, facets, ids: hits.map(({ id }) => id).toSorted() }).toEqual({
        input,
        total: expected.total,
        facets: expected.facets,
        ids: expected.hits.map(({ id }) => id).toSorted(),
      });
      if (total > 0) matched += 1;
    }
    expect(matched).toBeGreaterThan(40);
  });

  it('put them in the same order, where it is not by relevance', async () => {
    for (const sort of ['newest', 'oldest'] as const) {
      const input = { workspaceId: ws, mode: 'keyword', sort } as const;
      const [expected, got] = [await asked(inPostgres, input), await asked(inElasticsearch, input)];
      expect(got.hits.map(({ id }) => id)).toEqual(expected.hits.map(({ id }) => id));
    }
  });

  it('tell of a document the same', async () => {
    const [expected, got] = [
      await asked(inPostgres, { workspaceId: ws, mode: 'keyword' }),
      await asked(inElasticsearch, { workspaceId: ws, mode: 'keyword' }),
    ];
    expect(got.hits.map((hit) => ({ ...hit, score: 0 }))).toEqual(expected.hits.map((hit) => ({ ...hit, score: 0 })));
  });
});
