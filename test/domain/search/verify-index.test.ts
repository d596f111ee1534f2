import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useIndex } from '../../services/elasticsearch.ts';
import { expectEqual, FollowedIndex } from './followed-index.ts';
import { SearchWorld } from './search-world.ts';

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] a verification', () => {
  const database = useDatabase();
  const searched = useIndex(database, new LocalEmbedder());
  const { elasticsearch, index } = searched;
  const { alias } = index.definition.names;
  const world = new SearchWorld(database, { searched });
  let followed: FollowedIndex;
  let ws = '';
  beforeAll(async () => {
    followed = new FollowedIndex(database.postgres, index.index);
    await followed.start();
    await followed.rebuild();
  });
  beforeEach(async () => {
    await database.query(`DELETE FROM treadle.workspaces WHERE name LIKE 'w-%'`);
    ws = await world.workspace();
  });
  afterAll(() => followed.close());

  /** As somebody with a key to Elasticsearch would, behind Treadle's back. */
  const change = (id: string, doc: object) =>
    elasticsearch.call((client, options) => client.update({ index: alias, id: `${ws}:${id}`, doc }, options));
  const remove = (id: string) =>
    elasticsearch.call((client, options) => client.delete({ index: alias, id: `${ws}:${id}` }, options));

  it('finds what is missing, different and surplus, names the fields, and repairs all of it', async () => {
    const author = await world.author(ws, 'Ada');
    const missing = await world.write(ws, { title: 'Missing' });
    const different = await world.write(ws, { title: 'Different', tags: ['red'], authorId: author });
    const surplus = await world.write(ws, { title: 'Surplus' });
    await world.write(ws, { title: 'Right' });
    await followed.current();
    await expectEqual(followed, 4);
    await remove(missing);
    await change(different, { title: 'Somebody wrote', tags: ['blue'], content_hash: 'another' });
    // A delete that no stream tells of, as when a slot was lost. Whoever follows would publish the table again.
    await followed.stop();
    await database.query('ALTER PUBLICATION treadle DROP TABLE treadle.knowledge');
    await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [surplus]);
    await database.query('ALTER PUBLICATION treadle ADD TABLE treadle.knowledge (workspace_id, id)');
    followed = new FollowedIndex(database.postgres, index.index, { slot: followed.slot });
    await followed.start();
    const found = [
      { workspaceId: ws, id: missing, difference: 'missing', fields: [] },
      { workspaceId: ws, id: different, difference: 'different', fields: ['tags', 'title'] },
      { workspaceId: ws, id: surplus, difference: 'surplus', fields: [] },
    ];
    const told = await followed.verify();
    expect(told).toMatchObject({ documents: 3, missing: 1, different: 1, surplus: 1, repaired: 0, unsettled: 0 });
    expect(told.found.map((one) => ({ ...one, fields: one.fields.toSorted() }))).toEqual(
      found.map((one) => ({ ...one, repaired: false })),
    );
    // Without being asked to it repairs nothing.
    expect(await followed.verify()).toMatchObject({ missing: 1, different: 1, surplus: 1 });
    const repaired = await followed.verify({ repair: true });
    expect(repaired).toMatchObject({ repaired: 3 });
    expect(repaired.found.every((one) => one.repaired)).toBe(true);
    await expectEqual(followed, 3);
    expect((await followed.searched()).map(({ title }) => title)).toEqual(['Missing', 'Different', 'Right']);
  });

  it('does not tell of what is only on its way', async () => {
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title) SELECT $1, 'Document ' || n FROM generate_series(1, 1000) AS n`,
      [ws],
    );
    const ids = await database.query<{ id: string }>('SELECT id FROM treadle.knowledge WHERE workspace_id = $1', [ws]);
    await followed.current();
    const over = new AbortController();
    const writing = (async () => {
      for (let turn = 0; !over.signal.aborted; turn += 1) {
        const id = ids[(turn * 41) % ids.length]?.id;
        await world.write(ws, { title: `New ${turn}` });
        if (turn % 3 === 0) await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
        else await database.query('UPDATE treadle.knowledge SET content = $2 WHERE id = $1', [id, `changed ${turn}`]);
        await delay(2);
      }
    })();
    try {
      for (let round = 0; round < 4; round += 1) {
        expect(await followed.verify()).toMatchObject({ missing: 0, different: 0, surplus: 0, found: [] });
      }
      // A real difference is found in spite of the writes.
      const gone = await world.write(ws, { title: 'Really missing' });
      await followed.current();
      await remove(gone);
      expect(await followed.verify()).toMatchObject({ missing: 1, found: [{ id: gone, difference: 'missing' }] });
      expect(await followed.verify({ repair: true })).toMatchObject({ missing: 1, repaired: 1 });
    } finally {
      over.abort();
      await writing;
    }
    expect(await followed.verify()).toMatchObject({ missing: 0, different: 0, surplus: 0 });
  });

  it('keeps to the rate that it is given', async () => {
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title) SELECT $1, 'Document ' || n FROM generate_series(1, 600) AS n`,
      [ws],
    );
    await followed.current();
    const startedAt = performance.now();
    expect(await followed.verify({ ratePerSecond: 1_000 })).toMatchObject({ documents: 600, missing: 0 });
    expect(performance.now() - startedAt).toBeGreaterThan(1_000);
  });

  it('judges nothing while nobody follows the tables, and says so', async () => {
    await followed.stop();
    try {
      await world.write(ws, { title: 'Unheard' });
      await database.query('TRUNCATE treadle.change_stream');
      await expect(followed.verify({ patienceMs: 200 })).rejects.toMatchObject({
        code: 'SERVICE_UNAVAILABLE',
        message: expect.stringContaining('treadle start replicator'),
      });
    } finally {
      followed = new FollowedIndex(database.postgres, index.index, { slot: followed.slot });
      await followed.start();
    }
    await followed.current();
    await expectEqual(followed, 1);
  });
});
