import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { KnowledgeIndex } from '../../../src/domain/search/elasticsearch/knowledge-index.ts';
import { useDatabase } from '../../services/database.ts';
import { connectTo, elasticsearchUrl, useIndex } from '../../services/elasticsearch.ts';
import { SearchWorld } from './search-world.ts';

const model = new LocalEmbedder();

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] while Elasticsearch is away', () => {
  const database = useDatabase();
  const searched = useIndex(database, model);
  const world = new SearchWorld(database, { searched, withFallback: true });
  const elasticsearch = connectTo({ url: 'http://127.0.0.1:9' });
  let ws = '';
  let away: SearchWorld;
  beforeAll(async () => {
    const index = new KnowledgeIndex({ elasticsearch, db: database.postgres, model });
    away = new SearchWorld(database, { searched: { ...searched, elasticsearch, index }, withFallback: true });
    ws = await world.workspace();
    for (const title of ['Otter one', 'Otter two']) await world.write(ws, { title, tags: ['river'] });
    await world.settle();
  });
  afterAll(async () => {
    await elasticsearch.close();
  });

  it('Postgres answers, and says so', async () => {
    const request = { workspaceId: ws, query: 'otter' } as const;
    expect(await world.search.search(request)).toMatchObject({ total: 2, backend: 'elasticsearch', degraded: false });
    // More often than the breaker lets failures through.
    for (let each = 0; each < 8; each += 1) {
      expect(await away.search.search(request)).toMatchObject({ total: 2, backend: 'postgres', degraded: true });
    }
    expect(await away.search.suggest(ws, 'ott')).toMatchObject({ titles: [{}, {}] });
    await expect(elasticsearch.checkVersion()).rejects.toMatchObject({ code: 'CIRCUIT_BREAKER_OPEN' });
  });

  it('a page of its own is not continued by Postgres: the cursor says whose it is', async () => {
    const request = { workspaceId: ws, query: 'otter', mode: 'keyword', limit: 1 } as const;
    const { nextCursor } = await world.search.search(request);
    await expect(away.search.search({ ...request, cursor: nextCursor ?? '' })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: [{ path: 'cursor', message: expect.stringContaining('belongs to elasticsearch') }] },
    });
    const next = await world.search.search({ ...request, cursor: nextCursor ?? '' });
    expect(next.hits.map(({ title }) => title)).toHaveLength(1);
  });

  it('and where it has the vectors of another model, Postgres searches by meaning', async () => {
    const { dimensions, maxTextsPerCall } = model;
    const { search } = world.with({
      model: 'another',
      dimensions,
      maxTextsPerCall,
      embed: (texts) => model.embed(texts),
      close: () => Promise.resolve(),
    });
    expect(await search.search({ workspaceId: ws, query: 'otter', mode: 'semantic' })).toMatchObject({
      backend: 'postgres',
      degraded: true,
    });
  });
});
