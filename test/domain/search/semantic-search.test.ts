import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Embedder } from '../../../src/domain/embeddings/embedder.ts';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import { useDatabase } from '../../services/database.ts';
import { onEachBackend } from './on-each-backend.ts';

const database = useDatabase();
onEachBackend(database, (world) => {
  const local = new LocalEmbedder();

  /** The local embedder as a service that is down, or does not answer. */
  const failing: Embedder = {
    model: local.model,
    dimensions: local.dimensions,
    maxTextsPerCall: 10,
    embed: () => Promise.reject(new AppError('EXTERNAL_SERVICE_ERROR', 'down', {})),
    close: () => Promise.resolve(),
  };
  const silent: Embedder = {
    ...failing,
    embed: async (_, { signal } = {}) => {
      await delay(60_000, undefined, signal ? { signal } : {});
      return [];
    },
  };

  let ws = '';
  let other = '';
  let pools = '';
  beforeAll(async () => {
    [ws, other] = [await world.workspace(), await world.workspace()];
    pools = await world.write(ws, {
      title: 'Operations handbook',
      content: `${'Unrelated prose on gardening and bread. '.repeat(80)}\n\n# Pools\n\nConfiguring connection pools of the database server.`,
      tags: ['ops'],
    });
    await world.write(ws, { title: 'Bread', content: 'A recipe for banana bread with walnuts.', tags: ['food'] });
    await world.write(ws, {
      title: 'Connection',
      content: 'Catching the connecting train at the station.',
      status: 'draft',
    });
    await world.write(other, {
      title: 'Secret pools',
      content: 'Configuring connection pools of the database server.',
    });
    await world.embed(ws);
    await world.embed(other);
    await world.settle();
  });

  describe('by meaning', () => {
    it('a document is found by its best chunk, whatever the rest of it is about', async () => {
      const { hits, total, backend, degraded } = await world.search.search({
        workspaceId: ws,
        query: 'configure the database connection pool',
        mode: 'semantic',
      });
      expect(hits[0]?.id).toBe(pools);
      expect(hits[0]?.highlights[0]).toContain('Configuring connection pools');
      expect(total).toBe(3);
      expect({ backend, degraded }).toEqual({ backend: world.backend.name, degraded: false });
    });

    it('only documents of the workspace that pass the filters are ranked', async () => {
      const query = 'configure the database connection pool';
      const found = await world.search.search({
        workspaceId: ws,
        query,
        mode: 'semantic',
        filters: { tags: ['food'] },
      });
      expect(found.hits.every((hit) => hit.title === 'Bread')).toBe(true);
      expect(found).toMatchObject({ total: 1, facets: { tags: [{ value: 'food', count: 1 }] } });
      const elsewhere = await world.search.search({ workspaceId: other, query, mode: 'semantic' });
      expect(elsewhere.hits.map((hit) => hit.title)).toEqual(['Secret pools']);
    });

    it('pages follow one another by cursor', async () => {
      const request = { workspaceId: ws, query: 'bread connection database', mode: 'semantic', limit: 1 } as const;
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await world.search.search({ ...request, ...(cursor ? { cursor } : {}) });
        seen.push(...page.hits.map((hit) => hit.title));
        cursor = page.nextCursor ?? undefined;
      } while (cursor);
      const all = await world.search.search({ ...request, limit: 10 });
      expect(seen).toEqual(all.hits.map((hit) => hit.title));
      expect(new Set(seen).size).toBe(seen.length);
    });

    it('is not possible without the embedder', async () => {
      for (const embedder of [failing, silent]) {
        const { search } = world.with(embedder);
        await expect(search.search({ workspaceId: ws, query: 'bread', mode: 'semantic' })).rejects.toMatchObject({
          code: 'SERVICE_UNAVAILABLE',
          status: 503,
        });
      }
    });
  });

  describe('by words and meaning', () => {
    it('what both rankings find comes first, and what only one finds comes too', async () => {
      const { hits, total } = await world.search.search({ workspaceId: ws, query: 'connection pools', mode: 'hybrid' });
      expect(hits[0]?.id).toBe(pools);
      expect(hits[0]?.highlights.join()).toContain('<mark>connection</mark> <mark>pools</mark>');
      expect(hits.map((hit) => hit.title)).toContain('Connection');
      expect(total).toBe(1);
    });

    it('is the default', async () => {
      const { hits } = await world.search.search({ workspaceId: ws, query: 'banana recipies' });
      expect(hits[0]?.title).toBe('Bread');
    });

    it('falls back to words alone when the embedder fails, and says so', async () => {
      for (const embedder of [failing, silent]) {
        const { search } = world.with(embedder);
        const answer = await search.search({ workspaceId: ws, query: 'bread', mode: 'hybrid', limit: 1 });
        expect(answer).toMatchObject({ degraded: true, total: 2 });
        const next = await search.search({
          workspaceId: ws,
          query: 'bread',
          mode: 'hybrid',
          limit: 1,
          ...(answer.nextCursor ? { cursor: answer.nextCursor } : {}),
        });
        expect(next).toMatchObject({ degraded: true, nextCursor: null });
        expect(next.hits[0]?.id).not.toBe(answer.hits[0]?.id);
      }
    });

    it('does not go on with words from a page that was ranked by both', async () => {
      const request = { workspaceId: ws, query: 'bread', mode: 'hybrid', limit: 1 } as const;
      const { nextCursor } = await world.search.search(request);
      const { search } = world.with(failing);
      await expect(search.search({ ...request, ...(nextCursor ? { cursor: nextCursor } : {}) })).rejects.toMatchObject({
        code: 'SERVICE_UNAVAILABLE',
      });
    });

    it('sorts the candidates by another order when asked', async () => {
      const { hits } = await world.search.search({ workspaceId: ws, query: 'bread', mode: 'hybrid', sort: 'title' });
      const titles = hits.map((hit) => hit.title);
      expect(titles).toEqual(titles.toSorted());
    });
  });
});
