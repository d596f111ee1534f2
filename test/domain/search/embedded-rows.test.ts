import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { elasticsearchUrl } from '../../services/elasticsearch.ts';
import { useShop } from './use-shop.ts';

const found = z.object({ hits: z.object({ hits: z.array(z.object({ _source: z.object({ id: z.string() }) })) }) });

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] the texts of rows', () => {
  const shop = useShop();
  const { database } = shop;
  const [owner, another] = [randomUUID(), randomUUID()];
  beforeAll(() => shop.ready());

  /** The row whose text is nearest in meaning, by the vectors in the index. */
  const nearest = async (text: string): Promise<readonly string[]> => {
    await shop.shown('notes');
    const vector = [...(await shop.platform.embeddings.embedQuery(text))];
    const knn = { field: 'chunks.vector', query_vector: vector, k: 1, num_candidates: 50 };
    const { live } = shop.index('notes').source.definition.names;
    const answer = await shop.platform.elasticsearch?.call((client, options) =>
      client.search({ index: live, knn, size: 1 }, options),
    );
    return found.parse(answer).hits.hits.map(({ _source: { id } }) => id);
  };
  const write = async (title: string, body: string | null): Promise<string> => {
    const id = randomUUID();
    await database.query('INSERT INTO shop.note VALUES ($1, $2, $3, $4)', [id, owner, title, body]);
    return id;
  };
  /** As chunks in the index, and as rows in Postgres. */
  const chunks = async (id: string, of = owner): Promise<readonly [number, number]> => {
    const rows = await database.query('SELECT FROM treadle.embeddings WHERE entity_type = $1 AND entity_id = $2', [
      'index:notes',
      id,
    ]);
    const one = (await shop.shown('notes')).get(`${of}/${id}`);
    return [z.array(z.unknown()).parse(one?.['chunks'] ?? []).length, rows.length];
  };
  const becomes = async <T>(ask: () => Promise<T>, expected: T): Promise<void> => {
    for (
      const deadline = Date.now() + 20_000;
      JSON.stringify(await ask()) !== JSON.stringify(expected);
      await delay(50)
    ) {
      if (Date.now() > deadline) break;
    }
    expect(await ask()).toEqual(expected);
  };

  it('are embedded by jobs whenever they change, and their vectors are in the index', async () => {
    const walrus = await write('Walrus', 'whiskers of a walrus');
    const loom = await write('Loom', 'weaving with warp and weft');
    await becomes(() => chunks(walrus), [1, 1]);
    await becomes(() => nearest('walrus whiskers'), [walrus]);
    await becomes(() => nearest('weaving warp weft'), [loom]);
    await database.query(`UPDATE shop.note SET title = 'Comet', body = 'a comet with a bright tail' WHERE id = $1`, [
      walrus,
    ]);
    await becomes(() => nearest('bright comet tail'), [walrus]);
    expect(await shop.documents('notes')).toEqual(await shop.expected('notes'));
  });

  it('go with their row, by DELETE and by TRUNCATE', async () => {
    const [first, second, third] = [await write('one', 'a'), await write('two', 'b'), await write('three', null)];
    await becomes(() => chunks(second), [1, 1]);
    await becomes(() => chunks(third), [1, 1]);
    await database.query('DELETE FROM shop.note WHERE id = $1', [first]);
    await becomes(() => chunks(first), [0, 0]);
    expect(await chunks(second)).toEqual([1, 1]);
    await database.query('TRUNCATE shop.note');
    await becomes(() => chunks(second), [0, 0]);
    const left = () => database.query(`SELECT FROM treadle.embedded_entities WHERE entity_type = 'index:notes'`);
    await becomes(left, []);
  });

  it('stay embedded when their row moves to another workspace', async () => {
    const id = await write('Otter', 'an otter in the river');
    await becomes(() => chunks(id), [1, 1]);
    await database.query(`UPDATE shop.note SET owner = $2, body = 'a badger in the wood' WHERE id = $1`, [id, another]);
    await becomes(() => nearest('badger wood'), [id]);
    expect(await chunks(id, another)).toEqual([1, 1]);
    expect(await chunks(id)).toEqual([0, 1]);
    await database.query('DELETE FROM shop.note WHERE id = $1', [id]);
    await becomes(() => chunks(id, another), [0, 0]);
  });

  it('of a row without any are no chunks, and no job fails for it', async () => {
    const id = await write('Heron', 'a heron');
    await becomes(() => chunks(id), [1, 1]);
    await database.query(`UPDATE shop.note SET title = ' ', body = NULL WHERE id = $1`, [id]);
    await becomes(() => chunks(id), [0, 0]);
    const jobs = () =>
      database.query(
        `SELECT DISTINCT state, result FROM treadle.all_jobs WHERE name = 'embeddings.embed-row' AND payload ->> 'id' = $1`,
        [id],
      );
    expect(await jobs()).toContainEqual({ state: 'completed', result: { chunks: 0, embedded: 0, reused: 0 } });
  });
});
