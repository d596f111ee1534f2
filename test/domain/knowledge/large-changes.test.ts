import { expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();

const explaining = [
  'session_preload_libraries = auto_explain',
  'auto_explain.log_min_duration = 0',
  'auto_explain.log_level = notice',
  'auto_explain.log_nested_statements = on',
];

test('the tags of many documents are written without comparing each with each, whatever the statistics say', async () => {
  const name = new URL(database.url).pathname.slice(1);
  for (const setting of explaining) await database.query(`ALTER DATABASE ${name} SET ${setting}`);
  const plans: string[] = [];
  const { url } = database;
  const explained = new Postgres(
    { url, directUrl: url, poolSize: 2, statementTimeoutMs: 30_000, applicationName: 'explained' },
    createLog({ level: 'silent' }),
  );
  explained.pool.on('connect', (client) => {
    client.on('notice', ({ message }) => plans.push(message ?? ''));
  });
  await explained.transaction(async (tx) => {
    await tx.query(`INSERT INTO treadle.workspaces (name) VALUES ('large')`);
    await tx.query(
      `INSERT INTO treadle.tags (workspace_id, name) SELECT w.id, 't' || n FROM treadle.workspaces AS w, generate_series(1, 50) AS n`,
    );
    await tx.query(
      `INSERT INTO treadle.knowledge (workspace_id, title) SELECT w.id, 'd' || n FROM treadle.workspaces AS w, generate_series(1, 300) AS n`,
    );
    // As the server does by itself meanwhile: it sees the tables' size, and none of the rows.
    await database.query('ANALYZE treadle.search_documents, treadle.tags, treadle.knowledge_tags, treadle.knowledge');
    await tx.query(
      `INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
       SELECT k.workspace_id, k.id, t.id FROM treadle.knowledge AS k, treadle.tags AS t WHERE t.name IN ('t1', 't2')`,
    );
    plans.length = 0;
    await tx.query(
      `DELETE FROM treadle.knowledge_tags AS kt USING treadle.tags AS t WHERE t.id = kt.tag_id AND t.name = 't2'`,
    );
  });
  await explained.close();
  const rewriting = plans.filter((plan) => plan.includes('Update on search_documents'));
  expect(rewriting).toHaveLength(1);
  expect(rewriting[0]).not.toContain('Nested Loop');
});
