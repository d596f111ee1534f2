import { beforeEach, describe, expect, test } from 'vitest';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
let workspaceId: string;
beforeEach(async () => {
  const rows = await database.query<{ id: string }>(
    `INSERT INTO treadle.workspaces (name) VALUES ('w' || replace(gen_random_uuid()::text, '-', '')) RETURNING id`,
  );
  workspaceId = rows[0]?.id ?? '';
});
const insert = async (title: string, columns: Readonly<Record<string, unknown>> = {}): Promise<string> => {
  const names = ['workspace_id', 'title', ...Object.keys(columns)];
  const rows = await database.query<{ id: string }>(
    `INSERT INTO treadle.knowledge (${names.join(', ')}) VALUES (${names.map((_, n) => `$${n + 1}`).join(', ')}) RETURNING id`,
    [workspaceId, title, ...Object.values(columns)],
  );
  return rows[0]?.id ?? '';
};

describe('the database refuses', () => {
  test.each([
    ['an empty title', 'title', '', 'knowledge_title_length'],
    ['a blank title', 'title', ' ', 'knowledge_title_length'],
    ['a long title', 'title', 'x'.repeat(501), 'knowledge_title_length'],
    ['a long excerpt', 'excerpt', 'x'.repeat(2_001), 'knowledge_excerpt_length'],
    ['a huge content', 'content', 'x'.repeat(8_388_609), 'knowledge_content_length'],
    ['what is no media type', 'content_type', 'markdown', 'knowledge_content_type_form'],
    ['an unknown status', 'status', 'gone', 'knowledge_status_known'],
    ['an empty source id', 'source_id', '', 'knowledge_source_id_length'],
    ['metadata that are no object', 'metadata', '[]', 'knowledge_metadata_object'],
    ['a time without end', 'updated_at', 'infinity', 'knowledge_times_finite'],
    ['a version below 1', 'version', 0, 'knowledge_version_positive'],
  ])('%s', async (_, column, value, constraint) => {
    const columns = column === 'title' ? {} : { [column]: value };
    await expect(insert(column === 'title' ? String(value) : 'Title', columns)).rejects.toMatchObject({ constraint });
  });

  test('NUL', async () => {
    await expect(insert('a\0b')).rejects.toMatchObject({ code: '22021' });
    await expect(insert('Title', { metadata: { a: '\0' } })).rejects.toMatchObject({ code: '22P05' });
  });

  test('authors, collections and tags of another workspace, also by UPDATE', async () => {
    const id = await insert('Looms');
    const [other] = await database.query<{ w: string; u: string; c: string; t: string }>(
      `WITH w AS (INSERT INTO treadle.workspaces (name) VALUES ('o' || replace(gen_random_uuid()::text, '-', '')) RETURNING id)
       SELECT id AS w, treadle.uuid_v7() AS u, treadle.uuid_v7() AS c, treadle.uuid_v7() AS t FROM w`,
    );
    const { w, u, c, t } = other ?? { w: '', u: '', c: '', t: '' };
    await database.query(`INSERT INTO treadle.users (id, workspace_id, name) VALUES ($1, $2, 'Ada')`, [u, w]);
    await database.query(`INSERT INTO treadle.collections (id, workspace_id, name) VALUES ($1, $2, 'Shelf')`, [c, w]);
    await database.query(`INSERT INTO treadle.tags (id, workspace_id, name) VALUES ($1, $2, 'tag')`, [t, w]);
    await expect(insert('x', { author_id: u })).rejects.toMatchObject({ constraint: 'knowledge_author_fkey' });
    await expect(insert('x', { collection_id: c })).rejects.toMatchObject({ constraint: 'knowledge_collection_fkey' });
    const link = 'INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id) VALUES ($1, $2, $3)';
    await expect(database.query(link, [workspaceId, id, t])).rejects.toMatchObject({
      constraint: 'knowledge_tags_tag_fkey',
    });
    await expect(database.query(link, [w, id, t])).rejects.toMatchObject({
      constraint: 'knowledge_tags_knowledge_fkey',
    });
    await expect(
      database.query('UPDATE treadle.knowledge SET workspace_id = $2 WHERE id = $1', [id, w]),
    ).rejects.toMatchObject({ constraint: 'knowledge_identity_fixed' });
    await expect(insert('x', { source_id: 's' })).resolves.toBeTruthy();
    await expect(insert('x', { source_id: 's' })).rejects.toMatchObject({ constraint: 'knowledge_source_id_key' });
  });
});
