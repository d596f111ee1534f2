import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { useDatabase } from '../../services/database.ts';
import { copyRows } from './copy-rows.ts';

const database = useDatabase();
let client: Client;
let workspaceId: string;
beforeAll(async () => {
  client = new Client({ connectionString: database.url });
  await client.connect();
  const { rows } = await client.query<{ id: string }>(
    `INSERT INTO treadle.workspaces (name) VALUES ('copied') RETURNING id`,
  );
  workspaceId = rows[0]?.id ?? '';
});
afterAll(() => client.end());

const counts = async (): Promise<unknown> => {
  const rows = await database.query(
    `SELECT (SELECT count(*)::integer FROM treadle.knowledge) AS documents,
       (SELECT count(*)::integer FROM treadle.knowledge_versions) AS versions,
       (SELECT count(*)::integer FROM treadle.events) AS events,
       (SELECT count(*)::integer FROM treadle.jobs) AS jobs`,
  );
  return rows[0];
};
const copyIn = (count: number): Promise<void> =>
  copyRows(
    client,
    'COPY treadle.knowledge (workspace_id, title, content) FROM STDIN',
    Array.from({ length: count }, (_, n) => `${workspaceId}\tTitle ${n}\tSome content of document ${n}`),
  );

test('COPY writes versions, events and jobs in its own transaction', async () => {
  await client.query('BEGIN');
  await copyIn(500);
  await client.query('ROLLBACK');
  expect(await counts()).toEqual({ documents: 0, versions: 0, events: 0, jobs: 0 });
  await copyIn(5_000);
  expect(await counts()).toEqual({ documents: 5_000, versions: 5_000, events: 5_000, jobs: 5_000 });
});

test('a COPY with one bad row leaves nothing', async () => {
  const before = await counts();
  await expect(
    copyRows(client, 'COPY treadle.knowledge (workspace_id, title) FROM STDIN', [
      `${workspaceId}\tgood`,
      `${workspaceId}\t`,
    ]),
  ).rejects.toMatchObject({ constraint: 'knowledge_title_length' });
  expect(await counts()).toEqual(before);
});

test('large statements after small ones stay set-based', async () => {
  // A plan made for one row, kept by the session, and then used for all of them.
  for (let n = 0; n < 10; n += 1) {
    await client.query(`UPDATE treadle.knowledge SET content = content || '.' WHERE title = 'Title ${n}'`);
  }
  const startedAt = performance.now();
  await client.query(`UPDATE treadle.knowledge SET content = content || '!'`);
  await client.query('DELETE FROM treadle.knowledge');
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  expect(await counts()).toMatchObject({ documents: 0, versions: 0, events: 15_010 });
});
