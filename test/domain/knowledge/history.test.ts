import { once } from 'node:events';
import { Client } from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
let workspaceId: string;

interface Row {
  readonly [column: string]: unknown;
}

const history = async (): Promise<{ versions: Row[]; events: Row[]; jobs: Row[] }> => ({
  versions: await database.query(
    `SELECT v.version_number AS version, v.title, v.content, v.actor, v.change_summary, v.changed
     FROM treadle.knowledge_versions AS v WHERE workspace_id = $1 ORDER BY title, version_number`,
    [workspaceId],
  ),
  events: await database.query('SELECT * FROM treadle.events WHERE workspace_id = $1 ORDER BY xid, seq', [workspaceId]),
  jobs: await database.query('SELECT * FROM treadle.jobs WHERE tenant = $1 ORDER BY id', [workspaceId]),
});
const insert = async (title: string, columns: Row = {}): Promise<string> => {
  const names = ['workspace_id', 'title', ...Object.keys(columns)];
  const rows = await database.query<{ id: string }>(
    `INSERT INTO treadle.knowledge (${names.join(', ')}) VALUES (${names.map((_, n) => `$${n + 1}`).join(', ')}) RETURNING id`,
    [workspaceId, title, ...Object.values(columns)],
  );
  return rows[0]?.id ?? '';
};
const emptyJobs = () => database.query('DELETE FROM treadle.jobs WHERE tenant = $1', [workspaceId]);

const registerContract = async (assignments = 'updated_at = now()'): Promise<void> => {
  await database.query(
    `INSERT INTO treadle.contracts (name, queue, attempts, timeout_ms, priority, deduplicate_by, durability, payload_schema)
     VALUES ('embeddings.embed-document', 'embeddings', 8, 60000, 5, '{documentId}', 'ledger', '{}')`,
  );
  await database.query(`UPDATE treadle.contracts SET ${assignments}`);
};

beforeAll(() => database.query('DELETE FROM treadle.contracts'));
beforeEach(async () => {
  const rows = await database.query<{ id: string }>(
    `INSERT INTO treadle.workspaces (name) VALUES ('w' || replace(gen_random_uuid()::text, '-', '')) RETURNING id`,
  );
  workspaceId = rows[0]?.id ?? '';
});
afterEach(() => database.query('DELETE FROM treadle.contracts'));

describe('plain SQL', () => {
  test('an INSERT has a version, an event and an embedding job', async () => {
    const id = await insert('Looms', { content: 'warp', source_id: 's1' });
    const { versions, events, jobs } = await history();
    expect(versions).toEqual([
      { version: 1, title: 'Looms', content: 'warp', actor: null, change_summary: null, changed: [] },
    ]);
    expect(events).toMatchObject([
      {
        type: 'knowledge.created',
        aggregate_id: id,
        version: 1,
        actor: null,
        data: { title: 'Looms', status: 'draft', sourceId: 's1', previousVersion: null },
      },
    ]);
    expect(jobs).toMatchObject([
      {
        name: 'embeddings.embed-document',
        queue: 'embeddings',
        state: 'accepted',
        tenant: workspaceId,
        payload: { workspaceId, documentId: id, reason: 'changed' },
        deduplication_key: id,
        attempts_allowed: 8,
        timeout_ms: 60_000,
      },
    ]);
  });

  test('the job is the one that treadle.enqueue would make', async () => {
    await registerContract(`queue = 'other', attempts = 3, timeout_ms = 1000, priority = 2`);
    const id = await insert('Looms');
    const { jobs } = await history();
    const [before] = jobs;
    const payload = { workspaceId, documentId: id, reason: 'changed' };
    const enqueue = `SELECT treadle.enqueue('embeddings.embed-document', $1) AS id`;
    expect(await database.query(enqueue, [payload])).toEqual([{ id: before?.['id'] }]);
    await emptyJobs();
    await database.query(enqueue, [payload]);
    const [after] = (await history()).jobs;
    const varying = { id: 0, created_at: 0, due_at: 0 };
    expect({ ...before, ...varying }).toEqual({ ...after, ...varying });
    expect(before).toMatchObject({ queue: 'other', attempts_allowed: 3, timeout_ms: 1_000, priority: 2 });
  });

  test('other deduplication paths of the contract are followed', async () => {
    await registerContract(`deduplicate_by = '{workspaceId,documentId}'`);
    const id = await insert('Looms');
    expect((await history()).jobs).toMatchObject([{ deduplication_key: `${workspaceId}\u001f${id}` }]);
  });

  test('an UPDATE counts the version and says what changed, under the actor of the transaction', async () => {
    const id = await insert('Looms', { content: 'warp' });
    await emptyJobs();
    await database.postgres.transaction(async (tx) => {
      await tx.query(
        `SELECT set_config('treadle.actor', 'ada', true), set_config('treadle.change_summary', 'why', true)`,
      );
      await tx.query(`UPDATE treadle.knowledge SET content = 'weft', status = 'published' WHERE id = $1`, [id]);
    });
    const { versions, events, jobs } = await history();
    expect(versions[1]).toEqual({
      version: 2,
      title: 'Looms',
      content: 'weft',
      actor: 'ada',
      change_summary: 'why',
      changed: ['content', 'status'],
    });
    expect(events[1]).toMatchObject({
      type: 'knowledge.updated',
      aggregate_id: id,
      version: 2,
      actor: 'ada',
      data: { previousVersion: 1, changed: ['content', 'status'], status: 'published' },
    });
    expect(jobs).toHaveLength(1);
    await database.query('UPDATE treadle.knowledge SET metadata = $2 WHERE id = $1', [id, { a: 1 }]);
    expect((await history()).versions[2]).toMatchObject({ actor: null, change_summary: null });
  });

  test('only words need a new embedding', async () => {
    const id = await insert('Looms');
    for (const [column, value, jobs] of [
      ['status', 'published', 0],
      ['metadata', { a: 1 }, 0],
      ['content_delta', { ops: [] }, 0],
      ['title', 'Other', 1],
      ['content', 'other', 1],
      ['excerpt', 'other', 1],
    ] as const) {
      await emptyJobs();
      await database.query(`UPDATE treadle.knowledge SET ${column} = $2 WHERE id = $1`, [id, value]);
      expect([column, (await history()).jobs.length]).toEqual([column, jobs]);
    }
    expect(await database.query('SELECT version FROM treadle.knowledge WHERE id = $1', [id])).toEqual([{ version: 7 }]);
  });

  test('an UPDATE to what is there already leaves no trace', async () => {
    const id = await insert('Looms', { content: 'warp' });
    const [before] = await database.query('SELECT version, updated_at FROM treadle.knowledge WHERE id = $1', [id]);
    await emptyJobs();
    await database.query(`UPDATE treadle.knowledge SET title = 'Looms', content = 'warp', version = 9 WHERE id = $1`, [
      id,
    ]);
    expect(await database.query('SELECT version, updated_at FROM treadle.knowledge WHERE id = $1', [id])).toEqual([
      before,
    ]);
    const { versions, events, jobs } = await history();
    expect([versions.length, events.length, jobs.length]).toEqual([1, 1, 0]);
  });

  test('a writer cannot set the version, and every change is later than the one before', async () => {
    const id = await insert('Looms', { updated_at: '2999-01-01' });
    await database.query(`UPDATE treadle.knowledge SET title = 'Other', version = 40 WHERE id = $1`, [id]);
    const [row] = await database.query<{ version: number; later: boolean }>(
      `SELECT version, updated_at > '2999-01-01' AS later FROM treadle.knowledge WHERE id = $1`,
      [id],
    );
    expect(row).toEqual({ version: 2, later: true });
  });

  test('a DELETE leaves an event, and takes versions and tags along', async () => {
    const id = await insert('Looms', { source_id: 's1' });
    await database.query(
      `WITH t AS (INSERT INTO treadle.tags (workspace_id, name) VALUES ($1, 'tag') RETURNING id) SELECT id FROM t`,
      [workspaceId],
    );
    await database.query(
      'INSERT INTO treadle.knowledge_tags SELECT workspace_id, $2, id FROM treadle.tags WHERE workspace_id = $1',
      [workspaceId, id],
    );
    await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
    const { versions, events } = await history();
    expect(versions).toEqual([]);
    expect(events.at(-1)).toMatchObject({
      type: 'knowledge.deleted',
      aggregate_id: id,
      version: 1,
      data: { previousVersion: 1, title: 'Looms', sourceId: 's1' },
    });
    expect(await database.query('SELECT FROM treadle.knowledge_tags WHERE workspace_id = $1', [workspaceId])).toEqual(
      [],
    );
  });

  test('one statement over many rows writes each row its own, in order', async () => {
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title) SELECT $1, 'n' || n FROM generate_series(1, 300) AS n`,
      [workspaceId],
    );
    await database.query(`UPDATE treadle.knowledge SET content = title WHERE workspace_id = $1 AND title LIKE '%5'`, [
      workspaceId,
    ]);
    const { versions, events, jobs } = await history();
    expect([versions.length, events.length, jobs.length]).toEqual([330, 330, 300]);
    expect(versions.filter(({ version }) => version === 2).every(({ title, content }) => title === content)).toBe(true);
    expect(new Set(events.map(({ xid }) => xid)).size).toBe(2);
  });

  test('a rolled back transaction leaves nothing', async () => {
    const id = await insert('Looms');
    const before = await history();
    await expect(
      database.postgres.transaction(async (tx) => {
        await tx.query(`INSERT INTO treadle.knowledge (workspace_id, title) VALUES ($1, 'Gone')`, [workspaceId]);
        await tx.query(`UPDATE treadle.knowledge SET title = 'Gone' WHERE id = $1`, [id]);
        await tx.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await history()).toEqual(before);
  });

  test('tags have events of their own', async () => {
    await database.query(`INSERT INTO treadle.tags (workspace_id, name) VALUES ($1, 'a'), ($1, 'b')`, [workspaceId]);
    await database.query(`UPDATE treadle.tags SET name = 'c' WHERE workspace_id = $1 AND name = 'b'`, [workspaceId]);
    await database.query('UPDATE treadle.tags SET updated_at = now() WHERE workspace_id = $1', [workspaceId]);
    expect((await history()).events.map(({ type, data }) => [type, data])).toEqual([
      ['tag.created', { name: 'a' }],
      ['tag.created', { name: 'b' }],
      ['tag.updated', { name: 'c', previousName: 'b' }],
    ]);
  });

  test('a role that may only write documents still leaves history', async () => {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    try {
      await client.query('BEGIN');
      await client.query('CREATE ROLE treadle_test_writer');
      await client.query('GRANT USAGE ON SCHEMA treadle TO treadle_test_writer');
      await client.query('GRANT SELECT, INSERT, UPDATE, DELETE ON treadle.knowledge TO treadle_test_writer');
      await client.query('SET LOCAL ROLE treadle_test_writer');
      await client.query(`INSERT INTO treadle.knowledge (workspace_id, title) VALUES ($1, 'Theirs')`, [workspaceId]);
      await client.query(`UPDATE treadle.knowledge SET title = 'Changed' WHERE workspace_id = $1`, [workspaceId]);
      await client.query('RESET ROLE');
      const { rows } = await client.query('SELECT type FROM treadle.events WHERE workspace_id = $1 ORDER BY seq', [
        workspaceId,
      ]);
      expect(rows).toEqual([{ type: 'knowledge.created' }, { type: 'knowledge.updated' }]);
    } finally {
      await client.query('ROLLBACK');
      await client.end();
    }
  });

  test('a sleeping relay is woken once a statement, a working one is not', async () => {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    const heard: string[] = [];
    client.on('notification', ({ channel }) => heard.push(channel));
    try {
      await client.query('LISTEN treadle_relay');
      await insert('Unheard');
      await database.query('UPDATE treadle.relay SET sleeping = true');
      const woken = once(client, 'notification');
      await database.query(
        `INSERT INTO treadle.knowledge (workspace_id, title) SELECT $1, 'n' || n FROM generate_series(1, 10) AS n`,
        [workspaceId],
      );
      await woken;
      expect(heard).toEqual(['treadle_relay']);
    } finally {
      await database.query('UPDATE treadle.relay SET sleeping = false');
      await client.end();
    }
  });
});

test('an author or collection that goes leaves its documents, as a change of them', async () => {
  const [user] = await database.query<{ id: string }>(
    `INSERT INTO treadle.users (workspace_id, name) VALUES ($1, 'Ada') RETURNING id`,
    [workspaceId],
  );
  const id = await insert('Looms', { author_id: user?.id });
  await database.query('DELETE FROM treadle.users WHERE id = $1', [user?.id]);
  expect(await database.query('SELECT author_id, version FROM treadle.knowledge WHERE id = $1', [id])).toEqual([
    { author_id: null, version: 2 },
  ]);
  expect((await history()).events.at(-1)).toMatchObject({
    type: 'knowledge.updated',
    data: { changed: ['author_id'] },
  });
});
