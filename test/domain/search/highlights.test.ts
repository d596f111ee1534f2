import { beforeAll, describe, expect, it } from 'vitest';
import { useDatabase } from '../../services/database.ts';
import { onEachBackend } from './on-each-backend.ts';

const database = useDatabase();
onEachBackend(database, (world) => {
  let ws = '';
  beforeAll(async () => {
    ws = await world.workspace();
  });

  const highlights = async (content: string, query: string, title = 'Untitled'): Promise<readonly string[]> => {
    const id = await world.write(ws, { title, content });
    await world.settle();
    const { hits } = await world.search.search({ workspaceId: ws, query, mode: 'keyword', limit: 100 });
    return hits.find((hit) => hit.id === id)?.highlights ?? ['not found'];
  };
  const visible = (fragment: string): string => fragment.replaceAll(/<\/?mark>/g, '').replaceAll(/&[a-z#0-9]+;/g, 'x');

  describe('highlights', () => {
    it('mark every form of the words that were asked for', async () => {
      expect(await highlights('The runner runs, running on. Fast!', 'run fast')).toEqual([
        'The runner <mark>runs</mark>, <mark>running</mark> on. <mark>Fast</mark>!',
      ]);
    });

    it('escape everything else, marks of the document included', async () => {
      const [fragment] = await highlights('<script>alert("x & y")</script> <mark>zebra</mark> \'q\'', 'zebra');
      expect(fragment?.replaceAll('&#x27;', '&#39;').replaceAll('&#x2F;', '/')).toBe(
        '&lt;script&gt;alert(&quot;x &amp; y&quot;)&lt;/script&gt; &lt;mark&gt;<mark>zebra</mark>&lt;/mark&gt; &#39;q&#39;',
      );
    });

    it('are at most three pieces of about 150 characters around the matches', async () => {
      const filler = 'lorem ipsum dolor sit amet '.repeat(40);
      const found = await highlights(
        `${filler}walrus ${filler}walrus penguin ${filler}walrus ${filler}walrus`,
        'walrus or penguin',
      );
      expect(found).toHaveLength(3);
      for (const fragment of found) {
        expect(fragment).toContain('<mark>');
        expect(visible(fragment).length).toBeLessThanOrEqual(170);
      }
      expect(found.join()).toContain('<mark>walrus</mark>');
      expect(found.join()).toContain('<mark>penguin</mark>');
    });

    it('never cut a character in two', async () => {
      const found = await highlights(`${'🦀'.repeat(200)}needle${'🚀'.repeat(200)}`, 'needle');
      expect(found.every((fragment) => fragment.isWellFormed())).toBe(true);
      expect(found.join()).toContain('<mark>needle</mark>');
    });

    it('are of the title when the words are nowhere else', async () => {
      expect(await highlights('nothing', 'platypus', 'A platypus')).toEqual(['A <mark>platypus</mark>']);
    });

    it('find words of scripts without spaces', async () => {
      expect(await highlights('这是一个平台，支持全文搜索。', '搜索')).toEqual([
        '这是一个平台，支持全文<mark>搜</mark><mark>索</mark>。',
      ]);
    });

    it('of a document of megabytes come in good time', async () => {
      const startedAt = performance.now();
      const found = await highlights('plenty of words here '.repeat(100_000), 'plenty');
      expect(found).toHaveLength(3);
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    });
  });

  const suggest = async (typed: string) => {
    const { titles, tags } = await world.search.suggest(ws, typed);
    return { titles: titles.map((suggestion) => suggestion.title), tags };
  };

  describe('suggestions', () => {
    beforeAll(async () => {
      ws = await world.workspace();
      const other = await world.workspace();
      await world.write(ws, { title: 'Kubernetes guide', tags: ['kubernetes', 'containers'] });
      await world.write(ws, { title: 'A guide to Kubernetes', tags: ['kubernetes'] });
      await world.write(ws, { title: 'Container images', tags: ['docker & co'] });
      await world.write(ws, { title: '100% sure', tags: ['a_b'] });
      for (let index = 0; index < 8; index += 1)
        await world.write(ws, { title: `Zulu ${index}`, tags: [`zed-${index}`] });
      await world.write(other, { title: 'Kubernetes secrets', tags: ['kube-secret'] });
      await world.settle();
    });
    it('begin with what was typed, then contain a word that does', async () => {
      expect(await suggest('kub')).toEqual({
        titles: ['Kubernetes guide', 'A guide to Kubernetes'],
        tags: ['kubernetes'],
      });
      expect((await suggest('k')).titles).toEqual(['Kubernetes guide', 'A guide to Kubernetes']);
      expect((await suggest('GUIDE TO')).titles[0]).toBe('A guide to Kubernetes');
    });

    it('forgive a spelling mistake', async () => {
      expect(await suggest('kubernets')).toMatchObject({ tags: ['kubernetes'] });
      expect((await suggest('kuberntes')).titles.toSorted()).toEqual(['A guide to Kubernetes', 'Kubernetes guide']);
    });

    it('are at most five of each, of this workspace alone', async () => {
      const { titles, tags } = await suggest('z');
      expect(titles).toHaveLength(5);
      expect(tags).toHaveLength(5);
      expect(JSON.stringify([await suggest('secret'), await suggest('kube')])).not.toMatch(/secret/);
    });

    it('take every sign as itself', async () => {
      expect(await suggest('100%')).toMatchObject({ titles: ['100% sure'] });
      expect(await suggest('%')).toEqual({ titles: [], tags: [] });
      expect(await suggest('_')).toEqual({ titles: [], tags: [] });
      expect(await suggest('')).toEqual({ titles: [], tags: [] });
      expect(await suggest('docker & c')).toMatchObject({ tags: ['docker & co'] });
    });
  });
});
