import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useIndex } from '../../services/elasticsearch.ts';
import { expectEqual, FollowedIndex } from './followed-index.ts';
import { SearchWorld } from './search-world.ts';

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] the index follows what plain SQL does to its tables', () => {
  const database = useDatabase();
  const searched = useIndex(database, new LocalEmbedder());
  const world = new SearchWorld(database, { searched });
  let followed: FollowedIndex;
  let ws = '';
  beforeAll(async () => {
    followed = new FollowedIndex(database.postgres, searched.index.index);
    await followed.start();
    await followed.rebuild();
  });
  beforeEach(async () => {
    await database.query(`DELETE FROM treadle.workspaces WHERE name LIKE 'w-%'`);
    ws = await world.workspace();
  });
  afterAll(() => followed.close());

  interface Shown {
    readonly id: string;
    readonly title: string;
    readonly tags: string[];
    readonly author_name: string | null;
    readonly vectors: number;
  }
  /** What the tables have, read without any of what the index is written by. */
  const inTables = (): Promise<Shown[]> =>
    database.query<Shown>(
      `SELECT k.id, k.title, u.name AS author_name,
         ARRAY(SELECT t.name FROM treadle.knowledge_tags AS kt JOIN treadle.tags AS t ON t.id = kt.tag_id
           WHERE kt.knowledge_id = k.id ORDER BY t.name) AS tags,
         (SELECT count(*)::int FROM treadle.embeddings AS e WHERE e.entity_id = k.id) AS vectors
       FROM treadle.knowledge AS k LEFT JOIN treadle.users AS u ON u.id = k.author_id ORDER BY k.id`,
    );
  const inIndex = async (): Promise<Shown[]> =>
    (await followed.searched()).map((source) => ({
      id: source.id,
      title: String(source['title']),
      author_name: typeof source['author_name'] === 'string' ? source['author_name'] : null,
      tags: (source['tags'] as string[]).toSorted(),
      vectors: (source['chunks'] as unknown[]).length,
    }));
  const equal = async (documents: number): Promise<void> => {
    await followed.current();
    const expected = await inTables();
    expect(expected).toHaveLength(documents);
    expect(await inIndex()).toEqual(expected);
    await expectEqual(followed, documents);
  };

  it('inserted, changed and deleted documents, one by one and a thousand at once', async () => {
    const id = await world.write(ws, { title: 'Wombat', content: 'burrows' });
    await equal(1);
    expect(await inIndex()).toMatchObject([{ id, title: 'Wombat' }]);
    await database.query(`UPDATE treadle.knowledge SET title = 'Numbat' WHERE id = $1`, [id]);
    await equal(1);
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title) SELECT $1, 'Crowd ' || n FROM generate_series(1, 1000) AS n`,
      [ws],
    );
    await equal(1_001);
    await database.query(`UPDATE treadle.knowledge SET status = 'archived' WHERE title LIKE 'Crowd %5'`);
    await database.query(`DELETE FROM treadle.knowledge WHERE title LIKE 'Crowd %' AND title NOT LIKE '%5'`);
    await equal(101);
    await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
    await equal(100);
  });

  it('a document that is deleted and made again with the same id, there or in another workspace', async () => {
    const other = await world.workspace();
    const id = await world.write(ws, { title: 'Phoenix' });
    await equal(1);
    await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
    await equal(0);
    await database.query(`INSERT INTO treadle.knowledge (id, workspace_id, title) VALUES ($1, $2, 'Phoenix again')`, [
      id,
      ws,
    ]);
    await equal(1);
    await database.postgres.transaction(async (tx) => {
      await tx.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
      await tx.query(`INSERT INTO treadle.knowledge (id, workspace_id, title) VALUES ($1, $2, 'Moved')`, [id, other]);
    });
    await equal(1);
    expect(await followed.searched()).toMatchObject([{ workspace_id: other }]);
  });

  it('tags given, renamed, taken and removed', async () => {
    await world.write(ws, { title: 'Tagged', tags: ['marsupial', 'small'] });
    await world.write(ws, { title: 'Tagged too', tags: ['marsupial'] });
    await equal(2);
    await database.query(`UPDATE treadle.tags SET name = 'monotreme' WHERE name = 'marsupial'`);
    await equal(2);
    expect(await inIndex()).toMatchObject([{ tags: ['monotreme', 'small'] }, { tags: ['monotreme'] }]);
    await database.query(
      `DELETE FROM treadle.knowledge_tags USING treadle.tags AS t WHERE t.id = tag_id AND t.name = 'small'`,
    );
    await equal(2);
    await database.query(`DELETE FROM treadle.tags WHERE name = 'monotreme'`);
    await equal(2);
    expect(await inIndex()).toMatchObject([{ tags: [] }, { tags: [] }]);
  });

  it('authors renamed and removed', async () => {
    const author = await world.author(ws, 'Ada');
    await world.write(ws, { title: 'Written', authorId: author });
    await equal(1);
    await database.query(`UPDATE treadle.users SET name = 'Grace' WHERE id = $1`, [author]);
    await equal(1);
    expect(await inIndex()).toMatchObject([{ author_name: 'Grace' }]);
    await database.query('DELETE FROM treadle.users WHERE id = $1', [author]);
    await equal(1);
    expect(await inIndex()).toMatchObject([{ author_name: null }]);
  });

  it('embeddings that are written, and forgotten', async () => {
    await world.write(ws, { title: 'Meaning', content: 'A treadle drives a loom.' });
    await equal(1);
    await world.embed(ws);
    await equal(1);
    expect(await inIndex()).toMatchObject([{ vectors: 1 }]);
    await database.query('DELETE FROM treadle.embeddings');
    await database.query('DELETE FROM treadle.embedded_entities');
    await equal(1);
    expect(await inIndex()).toMatchObject([{ vectors: 0 }]);
  });

  it('a workspace that is deleted, and no other', async () => {
    const doomed = await world.workspace();
    for (const each of [1, 2, 3]) await world.write(doomed, { title: `Doomed ${each}`, tags: ['doom'] });
    await world.write(ws, { title: 'Stays' });
    await equal(4);
    await database.query('DELETE FROM treadle.workspaces WHERE id = $1', [doomed]);
    await equal(1);
    expect(await inIndex()).toMatchObject([{ title: 'Stays' }]);
  });

  it('TRUNCATE of tags, and of documents', async () => {
    for (const each of [1, 2, 3]) await world.write(ws, { title: `Document ${each}`, tags: ['red', `t${each}`] });
    await equal(3);
    await database.query('TRUNCATE treadle.tags CASCADE');
    await equal(3);
    expect(await inIndex()).toMatchObject([{ tags: [] }, { tags: [] }, { tags: [] }]);
    // In one transaction with what comes after it.
    await database.postgres.transaction(async (tx) => {
      await tx.query('TRUNCATE treadle.knowledge CASCADE');
      await tx.query(`INSERT INTO treadle.knowledge (workspace_id, title) VALUES ($1, 'After the flood')`, [ws]);
    });
    await equal(1);
    await database.query('TRUNCATE treadle.knowledge CASCADE');
    await equal(0);
  });

  it('nothing that is rolled back', async () => {
    await expect(
      database.postgres.transaction(async (tx) => {
        await tx.query(`INSERT INTO treadle.knowledge (workspace_id, title) VALUES ($1, 'Never')`, [ws]);
        throw new Error('rolled back');
      }),
    ).rejects.toThrow('rolled back');
    await equal(0);
  });
});
