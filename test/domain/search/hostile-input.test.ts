import { beforeAll, describe, expect, it } from 'vitest';
import type { SearchInput } from '../../../src/domain/search/search-request.ts';
import { useDatabase } from '../../services/database.ts';
import { onEachBackend } from './on-each-backend.ts';

const database = useDatabase();
onEachBackend(database, (world) => {
  describe('what is meant to do harm', () => {
    const hostile = [`x' OR '1'='1`, '*', '"}},{"match_all":{}}', '%', '_', '$1', '{{id}}', '/.*/', '\\', '[* TO *]'];
    let ws = '';
    beforeAll(async () => {
      ws = await world.workspace();
      for (const [place, tag] of hostile.entries()) await world.write(ws, { title: `Tagged ${place}`, tags: [tag] });
      await world.write(ws, { title: 'Untouched', tags: ['plain'] });
      await world.settle();
    });
    const total = async (more: Partial<SearchInput>): Promise<number> =>
      (await world.search.search({ workspaceId: ws, query: '', mode: 'keyword', ...more })).total;

    it('in a filter is only a value, which is found where it is', async () => {
      for (const tag of hostile) expect([tag, await total({ filters: { tags: [tag] } })]).toEqual([tag, 1]);
      expect(await total({ filters: { tags: [`y' OR '1'='1`] } })).toBe(0);
      expect(await total({ filters: { tags: hostile } })).toBe(hostile.length);
      for (const query of hostile) expect(await total({ query })).toBeLessThanOrEqual(hostile.length);
      expect(await total({})).toBe(hostile.length + 1);
    });

    it.each([
      ['sort', { sort: 'title; DROP TABLE treadle.knowledge' }],
      ['sort', { sort: { _script: { script: '1' } } }],
      ['filters.tags', { filters: { tags: { $ne: '' } } }],
      ['filters.tags[0]', { filters: { tags: [{ wildcard: '*' }] } }],
      ['filters.status[0]', { filters: { status: ["published' OR 1=1"] } }],
      ['filters.authors[0]', { filters: { authors: ["x' OR '1'='1"] } }],
      ['filters.collections[0]', { filters: { collections: ['*'] } }],
      ['filters.months[0]', { filters: { months: ['2026-01||+1M'] } }],
      ['filters.from', { filters: { from: 'now-1d' } }],
      ['filters.to', { filters: { to: '2026-01-01||/M' } }],
      ['filters.workspace_id', { filters: { workspace_id: 'another' } }],
      ['workspaceId', { workspaceId: '*' }],
      ['query', { query: 'x'.repeat(10_000) }],
      ['query', { query: { match_all: {} } }],
      ['limit', { limit: 101 }],
      ['offset', { offset: -1 }],
    ])('%s is refused by name (%#)', async (path, more) => {
      // As a caller without types sends it.
      const input = { workspaceId: ws, query: 'tagged', mode: 'keyword', ...more } as SearchInput;
      await expect(world.search.search(input)).rejects.toMatchObject({
        code: 'VALIDATION_ERROR',
        status: 400,
        details: { faults: [{ path }] },
      });
    });

    it('beyond the first 10,000 is told of the cursor', async () => {
      await expect(world.search.search({ workspaceId: ws, query: '', offset: 10_000 })).rejects.toMatchObject({
        details: { faults: [{ path: 'offset', message: expect.stringContaining('use the cursor') }] },
      });
    });

    it('of every plane of Unicode is written and searched like anything else', async () => {
      const planes = Array.from({ length: 17 }, (_, plane) => String.fromCodePoint(plane * 0x1_00_00 + 0x4e_2d));
      const own = await world.workspace();
      for (const [plane, character] of planes.entries()) {
        await world.write(own, {
          title: `plane${plane} ${character}`,
          content: character.repeat(50),
          tags: [character],
        });
      }
      await world.settle();
      for (const [plane, character] of planes.entries()) {
        for (const mode of ['keyword', 'hybrid', 'semantic'] as const) {
          const asked = { workspaceId: own, query: `plane${plane} ${character}`, mode };
          expect((await world.search.search(asked)).total).toBeLessThanOrEqual(17);
        }
        const tagged = await world.search.search({ workspaceId: own, query: '', filters: { tags: [character] } });
        expect(tagged.hits.map(({ title }) => title)).toEqual([`plane${plane} ${character}`]);
      }
    });
  });
});
