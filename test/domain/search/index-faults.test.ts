import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defineIndex } from '../../../src/domain/search/define-index.ts';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { SearchIndex } from '../../../src/domain/search/indexes/search-index.ts';
import { TableSource } from '../../../src/domain/search/indexes/table-source.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useElasticsearch, useIndex } from '../../services/elasticsearch.ts';
import { expectEqual, FollowedIndex, until } from './followed-index.ts';
import { SearchWorld } from './search-world.ts';

const model = new LocalEmbedder();

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] an index that somebody laid hands on', () => {
  const database = useDatabase();
  const searched = useIndex(database, model);
  const { elasticsearch, index } = searched;
  const { alias, live } = index.definition.names;
  const world = new SearchWorld(database, { searched });
  let followed: FollowedIndex;
  let ws = '';
  let real = '';
  beforeEach(async () => {
    followed = new FollowedIndex(database.postgres, index.index);
    await followed.start();
    real = (await followed.rebuild()).index;
    followed.rebuilds.splice(0);
    ws = await world.workspace();
    await world.write(ws, { title: 'Before' });
    await followed.current();
  });
  afterEach(async () => {
    await followed.close();
    await database.query(`DELETE FROM treadle.workspaces WHERE name LIKE 'w-%'`);
    await database.query('TRUNCATE treadle.change_sinks, treadle.change_backlog');
  });

  const settings = (given: Readonly<Record<string, unknown>>) =>
    elasticsearch.call((client, options) => client.indices.putSettings({ index: real, settings: given }, options));
  const askedForRebuild = () => until(() => followed.rebuilds.length > 0, 'a rebuild is asked for');

  it('and deleted: the next write notices, nothing is written elsewhere, and a rebuild brings all of it back', async () => {
    await elasticsearch.call((client, options) => client.indices.delete({ index: real }, options));
    await world.write(ws, { title: 'Written without an index' });
    await askedForRebuild();
    expect(new Set(followed.rebuilds)).toEqual(new Set(['the index was deleted']));
    expect(await index.index.states.read('knowledge')).toMatchObject({ live: null });
    // Under the name of the alias nothing was made.
    expect(await elasticsearch.call((client, options) => client.indices.exists({ index: alias }, options))).toBe(false);
    await followed.rebuild();
    await expectEqual(followed, 2);
  });

  it('and whose alias for writes was taken away: it is built anew, and the one without a name goes', async () => {
    await elasticsearch.call((client, options) => client.indices.deleteAlias({ index: real, name: alias }, options));
    await world.write(ws, { title: 'Written without an alias' });
    await askedForRebuild();
    const { index: made } = await followed.rebuild();
    await expectEqual(followed, 2);
    expect(made).not.toBe(real);
    // Not once for each index.
    expect(await followed.searched()).toHaveLength(2);
    expect(await elasticsearch.call((client, options) => client.indices.exists({ index: real }, options))).toBe(false);
  });

  it('and given another field: documents are still written', async () => {
    await elasticsearch.call((client, options) =>
      client.indices.putMapping({ index: real, properties: { by_hand: { type: 'keyword' } } }, options),
    );
    await world.write(ws, { title: 'Written with a field more' });
    await followed.current();
    await expectEqual(followed, 2);
    expect(followed.refused).toEqual([]);
  });

  it('and made read-only, as by a full disk: it is stopped, not refused, and goes on when the block is lifted', async () => {
    await settings({ 'index.blocks.read_only_allow_delete': true });
    const id = await world.write(ws, { title: 'Written while full' });
    await until(() => followed.sink?.state === 'behind', 'the sink is left behind');
    await database.query(`UPDATE treadle.knowledge SET content = 'again' WHERE id = $1`, [id]);
    await database.query(`DELETE FROM treadle.knowledge WHERE title = 'Before'`);
    await until(
      async () => (await database.query('SELECT FROM treadle.change_backlog')).length === 2,
      'what is for it is kept in Postgres',
    );
    expect(followed.refused).toEqual([]);
    expect(followed.verifications).toBe(0);
    await until(
      async () => (await index.index.states.progress('knowledge'))?.state === 'behind',
      'what is reported of the sink says so',
    );
    expect(await index.index.states.progress('knowledge')).toMatchObject({
      error: expect.stringContaining('full disk'),
    });
    await settings({ 'index.blocks.read_only_allow_delete': null });
    await until(() => followed.sink?.state === 'following', 'the sink follows again');
    await followed.current();
    await expectEqual(followed, 1);
    expect(followed.verifications).toBe(1);
  });

  it('takes documents of any size and with any characters', async () => {
    const unbroken = 'x'.repeat(8_388_608);
    const large = await world.write(ws, { title: 'Large', content: unbroken });
    const controls = String.fromCharCode(...Array.from({ length: 31 }, (_, code) => code + 1));
    const strange = await world.write(ws, {
      title: `Strange ${controls}`,
      content: `${controls} \u{10FFFF} \u{1F600} \uFFFF \u202E "quotes" \\ </mark>`,
      tags: [`tag ${controls}`, '𝔗𝔞𝔤', 'x'.repeat(100)],
      createdAt: '0001-01-01T00:00:00Z',
    });
    await world.write(ws, { title: '🦀'.repeat(500), createdAt: '9999-12-31T00:00:00Z' });
    await followed.current();
    expect(followed.refused).toEqual([]);
    await expectEqual(followed, 4);
    const found = new Map((await followed.searched()).map((source) => [source.id, source]));
    expect(found.get(large)?.['content']).toBe(unbroken);
    expect(found.get(strange)).toMatchObject({ title: `Strange ${controls}`, created_at: '0001-01-01T00:00:00.000Z' });
  });

  it('without the alias that is searched gets it back by a verification', async () => {
    await elasticsearch.call((client, options) => client.indices.deleteAlias({ index: real, name: live }, options));
    await expect(followed.searched()).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    expect(await index.index.reconcile()).toBe('as known');
    expect(await followed.searched()).toHaveLength(1);
  });
});

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] documents that Elasticsearch refuses', () => {
  const database = useDatabase();
  const { elasticsearch, prefix } = useElasticsearch();
  let followed: FollowedIndex;
  beforeAll(async () => {
    await database.query(
      'CREATE TABLE public.thing (id integer PRIMARY KEY, name text, made timestamptz, count numeric)',
    );
    const things = defineIndex({
      name: 'things',
      table: 'public.thing',
      fields: { name: 'name', made: 'made', count: 'count' },
      mapping: { name: { type: 'keyword' }, made: { type: 'date' }, count: { type: 'integer' } },
    });
    const source = await TableSource.open(database.postgres, things, model, prefix);
    const index = new SearchIndex({ source, elasticsearch, db: database.postgres });
    followed = new FollowedIndex(database.postgres, index);
    await followed.start();
  });
  afterEach(() => database.query('TRUNCATE public.thing'));
  afterAll(() => followed.close());

  const bad = `(-1, repeat('x', 40000), now(), 1), (-2, 'count', now(), -1e12), (-3, 'count', now(), 1e12)`;
  const missing = (ids: readonly string[]) => ({
    missing: ids.length,
    different: 0,
    surplus: 0,
    found: ids.map((id) => ({ id, difference: 'missing' })),
  });

  it('are kept, each with its key, and keep no other from being written', async () => {
    await followed.rebuild();
    await database.query(
      `INSERT INTO public.thing SELECT n, 'thing ' || n, now(), n FROM generate_series(1, 500) AS n`,
    );
    await database.query(
      `INSERT INTO public.thing VALUES ${bad}, (501, 'after', 'infinity', 'NaN'), (502, 'late', '290000-01-01', 1)`,
    );
    await followed.current();
    expect(followed.refused.map(({ id }) => id).toSorted()).toEqual(['-1', '-2', '-3']);
    expect(await followed.verify()).toMatchObject({ documents: 505, ...missing(['-3', '-2', '-1']) });
    expect(followed.sink?.state).toBe('following');
  });

  it('do not keep a rebuild from its end, not even one that was interrupted behind them', async () => {
    followed.refused.splice(0);
    await database.query(
      `INSERT INTO public.thing SELECT n, 'thing ' || n, now(), n FROM generate_series(1, 3000) AS n`,
    );
    await database.query(`INSERT INTO public.thing VALUES ${bad}`);
    await followed.current();
    const stop = new AbortController();
    const interrupted = followed.rebuild({
      signal: stop.signal,
      onProgress: (_, note) => {
        if (/^[1-9]\d* of/.test(note)) stop.abort();
      },
    });
    await expect(interrupted).rejects.toMatchObject({ name: expect.stringMatching(/Abort|AppError/) });
    followed.refused.splice(0);
    expect(await followed.rebuild()).toMatchObject({ documents: 3_003, failed: 3 });
    expect(followed.refused.map(({ id }) => id).toSorted()).toEqual(['-1', '-2', '-3']);
    expect(await followed.verify()).toMatchObject({ documents: 3_003, ...missing(['-3', '-2', '-1']) });
  });
});
