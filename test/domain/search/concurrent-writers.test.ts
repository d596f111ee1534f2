import { expect, it } from 'vitest';
import { useDatabase } from '../../services/database.ts';
import { SearchWorld } from './search-world.ts';

const database = useDatabase();
const world = new SearchWorld(database);

/** Numbers from 0 to 1, the same in every run. */
const seeded = (start: number) => {
  let state = start;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
};

const differences = `
  SELECT k.id AS expected, s.document_id AS found
  FROM treadle.knowledge AS k FULL JOIN treadle.search_documents AS s ON s.document_id = k.id
  WHERE k.id IS NULL OR s.document_id IS NULL
    OR (s.title, s.status, s.author_id, s.updated_at) IS DISTINCT FROM (k.title, k.status, k.author_id, k.updated_at)
    OR s.tags <> treadle.tags_of(k.workspace_id, k.id)
    OR s.vector <> treadle.search_vector(k.title, k.excerpt, k.content) || treadle.tags_vector(treadle.tags_of(k.workspace_id, k.id))`;

it('what is searched equals what is stored after many writers at once, none of whom failed', async () => {
  const ws = await world.workspace();
  const ids: string[] = [];
  for (let index = 0; index < 12; index += 1) ids.push(await world.write(ws, { title: `Document ${index}` }));
  await database.query(
    `INSERT INTO treadle.tags (workspace_id, name) SELECT $1, 'tag ' || i FROM generate_series(1, 6) AS i`,
    [ws],
  );
  const random = seeded(42);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const aTag = `(SELECT id FROM treadle.tags WHERE workspace_id = $1 ORDER BY id OFFSET $3::integer LIMIT 1)`;
  const changes: readonly ((id: string, number: number) => [string, unknown[]])[] = [
    (id, number) => [
      'UPDATE treadle.knowledge SET content = $3 WHERE workspace_id = $1 AND id = $2',
      [ws, id, `text ${number}`],
    ],
    (id) => [
      'UPDATE treadle.knowledge SET status = $3 WHERE workspace_id = $1 AND id = $2',
      [ws, id, pick(['draft', 'archived'])],
    ],
    (id, number) => [
      `INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
       SELECT $1, k.id, ${aTag} FROM treadle.knowledge AS k WHERE k.id = $2 FOR KEY SHARE OF k ON CONFLICT DO NOTHING`,
      [ws, id, number % 6],
    ],
    (id, number) => [
      'DELETE FROM treadle.knowledge_tags WHERE workspace_id = $1 AND knowledge_id = $2 AND $3::integer > 0',
      [ws, id, number],
    ],
    (id, number) => [
      `UPDATE treadle.tags SET name = 'renamed ' || $2::text || $3::integer WHERE id = ${aTag}`,
      [ws, id, number % 6],
    ],
  ];
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let step = 0; step < 60; step += 1) {
        const [text, values] = pick(changes)(pick(ids), writer * 1_000 + step);
        await database.query(text, values);
      }
    }),
  );
  await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [ids[0]]);
  await database.query('SELECT treadle.repair_search_documents()');
  expect(await database.query(differences)).toEqual([]);
});

it('two tags given at once by two transactions are both found', async () => {
  const ws = await world.workspace();
  const id = await world.write(ws, { title: 'Contested' });
  const tag = async (name: string) =>
    database.postgres.transaction(async (tx) => {
      await tx.query(
        `WITH made AS (INSERT INTO treadle.tags (workspace_id, name) VALUES ($1, $2) RETURNING id)
         INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id) SELECT $1, $3, id FROM made`,
        [ws, name, id],
      );
      await tx.query('SELECT pg_sleep(0.2)');
    });
  await Promise.all([tag('left'), tag('right')]);
  const [row] = await database.query<{ tags: string[] }>(
    'SELECT tags FROM treadle.search_documents WHERE document_id = $1',
    [id],
  );
  expect(row?.tags).toEqual(['left', 'right']);
  expect(await database.query(differences)).toEqual([]);
});
