import { beforeAll, describe, expect, test } from 'vitest';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
let workspaces: WorkspaceService;
beforeAll(() => {
  workspaces = new WorkspaceService({ postgres: database.postgres, log: createLog({ level: 'silent' }) });
});

describe('creating a workspace', () => {
  test('gives what was asked for, in UTC unless told otherwise', async () => {
    const made = await workspaces.create({ name: 'docs', displayName: 'Documents' });
    expect(made).toMatchObject({ name: 'docs', displayName: 'Documents', description: '', timeZone: 'UTC' });
    expect(await workspaces.find('docs')).toEqual(made);
    expect(await workspaces.find(made.id)).toEqual(made);
    expect(await workspaces.find(made.id.toUpperCase())).toEqual(made);
  });

  test('takes IANA time zones', async () => {
    for (const timeZone of ['Europe/Berlin', 'America/Port-au-Prince', 'America/Argentina/Buenos_Aires', 'Etc/GMT+5']) {
      const made = await workspaces.create({
        name: `zone-${timeZone.toLowerCase().replaceAll(/[^a-z0-9]/g, '-')}`,
        timeZone,
      });
      expect(made.timeZone).toBe(timeZone);
    }
  });

  test.each([
    ['PST', 'abbreviation'],
    ['+01:00', 'offset'],
    ['Mars/Olympus', 'unknown'],
    ['Foo/Bar-3', 'POSIX'],
    ['', 'empty'],
    ['Europe/Berlin\0', 'NUL'],
  ])('refuses the time zone %j (%s) by service and by database', async (timeZone) => {
    await expect(workspaces.create({ name: 'zone', timeZone })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: [{ path: 'timeZone' }] },
    });
    await expect(
      database.query('INSERT INTO treadle.workspaces (name, time_zone) VALUES ($1, $2)', ['zone', timeZone]),
    ).rejects.toThrow(/workspaces_time_zone_known|invalid byte sequence/);
  });

  test.each([
    '',
    'A',
    'a b',
    'a/b',
    '-a',
    'a-',
    '..',
    'ä',
    'a\0',
    '0196f0aa-0000-7000-8000-000000000000',
    'x'.repeat(101),
  ])('refuses the name %j by service and by database', async (name) => {
    await expect(workspaces.create({ name })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: [{ path: 'name' }] },
    });
    await expect(database.query('INSERT INTO treadle.workspaces (name) VALUES ($1)', [name])).rejects.toThrow(
      /workspaces_name|invalid byte sequence/,
    );
  });

  test('names every fault at once', async () => {
    await expect(
      workspaces.create({ name: 'No', timeZone: 'x', displayName: 'y'.repeat(201), description: '\ud800' }),
    ).rejects.toThrow(/name: .*; displayName: .*; description: .*; timeZone: /);
  });

  test('refuses a name in use', async () => {
    await workspaces.create({ name: 'taken' });
    await expect(workspaces.create({ name: 'taken' })).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
  });
});

test('twenty that ensure one name get the same workspace', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => workspaces.ensure('shared')));
  expect(new Set(all.map(({ id }) => id)).size).toBe(1);
  await expect(workspaces.ensure('0196f0aa-0000-7000-8000-000000000000')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(workspaces.ensure('Not A Name')).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
});

test('pages lead forwards and back again over every workspace once', async () => {
  for (let index = 0; index < 7; index += 1) await workspaces.create({ name: `page-${index}` });
  const { rows } = await database.postgres.query<{ name: string }>('SELECT name FROM treadle.workspaces ORDER BY name');
  const pages: string[][] = [];
  let page = await workspaces.findMany({ limit: 3 });
  expect(page.prevCursor).toBeNull();
  for (;;) {
    pages.push(page.items.map(({ name }) => name));
    if (page.nextCursor === null) break;
    page = await workspaces.findMany({ limit: 3, cursor: page.nextCursor });
  }
  expect(pages.flat()).toEqual(rows.map(({ name }) => name));
  for (const expected of pages.slice(0, -1).toReversed()) {
    page = await workspaces.findMany({ limit: 3, cursor: page.prevCursor ?? 'none' });
    expect(page.items.map(({ name }) => name)).toEqual(expected);
  }
  expect(page.prevCursor).toBeNull();
});

test.each([
  { limit: 0 },
  { limit: 101 },
  { limit: 1.5 },
  { cursor: 'x' },
  { cursor: '' },
  { cursor: 'WyJuZXh0IixbMV1d' },
])('refuses the page %j', async (page) => {
  await expect(workspaces.findMany(page)).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
});

test('an update sets what is given and leaves the rest', async () => {
  const made = await workspaces.create({ name: 'before', description: 'kept' });
  const updated = await workspaces.update('before', { name: 'after', timeZone: 'Asia/Tokyo' });
  expect(updated).toMatchObject({ id: made.id, name: 'after', description: 'kept', timeZone: 'Asia/Tokyo' });
  expect(updated.updatedAt.getTime()).toBeGreaterThanOrEqual(made.updatedAt.getTime());
  expect(await workspaces.update('after', { description: '' })).toMatchObject({ description: '' });
  await workspaces.create({ name: 'occupied' });
  await expect(workspaces.update('after', { name: 'occupied' })).rejects.toMatchObject({
    code: 'DATA_CONSISTENCY_ERROR',
  });
  await expect(workspaces.update('nowhere', {})).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('a change names the revision it was made from, and whoever is late is told the one there is', async () => {
  const made = await workspaces.create({ name: 'contested' });
  expect(made.revision).toBe(1);
  const results = await Promise.allSettled(
    Array.from({ length: 50 }, (_, n) =>
      workspaces.update('contested', { description: `by ${n}` }, { expectedRevision: 1 + (n % 2) }),
    ),
  );
  const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const revisions = won.map(({ revision }) => revision).toSorted((a, b) => a - b);
  expect([[2], [2, 3]]).toContainEqual(revisions);
  for (const result of results) {
    if (result.status === 'fulfilled') continue;
    const details = {
      entity: 'workspace',
      entityId: made.id,
      expected: expect.any(Number),
      actual: expect.any(Number),
    };
    expect(result.reason).toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', status: 409, details });
  }
  const found = await workspaces.findById(made.id);
  expect(found).toEqual(won.find(({ revision }) => revision === revisions.at(-1)));
  const known = await workspaces.count();
  const late = { code: 'DATA_CONSISTENCY_ERROR', details: { expected: 1, actual: found?.revision } };
  await expect(workspaces.delete('contested', { expectedRevision: 1 })).rejects.toMatchObject(late);
  await workspaces.delete('contested', { expectedRevision: found?.revision });
  expect(await workspaces.findById(made.id)).toBeUndefined();
  expect(await workspaces.findById('contested')).toBeUndefined();
  expect(await workspaces.count()).toBe(known - 1);
  for (const expectedRevision of [0, 1.5, Number('abc'), 2_147_483_648])
    await expect(workspaces.update('system', {}, { expectedRevision })).rejects.toMatchObject({
      details: { faults: [{ path: 'expectedRevision' }] },
    });
});

test('plain SQL counts the revisions of all that has one, can set none, and what is equal is no change', async () => {
  const { id } = await workspaces.create({ name: 'counted' });
  for (const insert of [
    `collections (workspace_id, name) VALUES ($1, 'before')`,
    `tags (workspace_id, name) VALUES ($1, 'before')`,
    `roles (workspace_id, name) VALUES ($1, 'before')`,
    `users (workspace_id, name) VALUES ($1, 'before')`,
  ])
    await database.query(`INSERT INTO treadle.${insert}`, [id]);
  for (const table of ['workspaces', 'collections', 'tags', 'roles', 'users']) {
    const [column, key] = table === 'workspaces' ? ['description', 'id'] : ['name', 'workspace_id'];
    const update = async (set: string) => {
      const [row] = await database.query<{ revision: number; updated_at: Date }>(
        `UPDATE treadle.${table} SET ${set} WHERE ${key} = $1 RETURNING revision, updated_at`,
        [id],
      );
      return row;
    };
    const first = await update(`${column} = ${column}, revision = 7, updated_at = '2999-01-01'`);
    expect([table, first?.revision]).toEqual([table, 1]);
    const second = await update(`${column} = 'after', revision = 7`);
    expect([table, second?.revision]).toEqual([table, 2]);
    expect(second?.updated_at.getTime()).toBeGreaterThanOrEqual(first?.updated_at.getTime() ?? Infinity);
    expect(second?.updated_at.getTime()).toBeLessThan(Date.parse('2999-01-01'));
  }
});

test('the system workspace stays', async () => {
  await workspaces.ensure('system');
  await expect(workspaces.delete('system')).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
  await expect(workspaces.update('system', { name: 'other' })).rejects.toMatchObject({
    code: 'DATA_CONSISTENCY_ERROR',
  });
});

test('a deleted workspace takes everything in it along, and says which documents went', async () => {
  const { id } = await workspaces.create({ name: 'doomed' });
  await database.query(`
    WITH w AS (SELECT '${id}'::uuid AS id),
    author AS (INSERT INTO treadle.users (workspace_id, name) SELECT id, 'Ada' FROM w RETURNING id),
    collection AS (INSERT INTO treadle.collections (workspace_id, name) SELECT id, 'Shelf' FROM w RETURNING id)
    SELECT 1`);
  await database.query(
    `INSERT INTO treadle.knowledge (workspace_id, title, author_id, collection_id)
     SELECT $1, 'Document ' || n, u.id, c.id FROM generate_series(1, 50) AS n, treadle.users AS u, treadle.collections AS c
     WHERE u.workspace_id = $1 AND c.workspace_id = $1`,
    [id],
  );
  await database.query(`INSERT INTO treadle.tags (workspace_id, name) VALUES ($1, 'tag')`, [id]);
  await database.query(
    `INSERT INTO treadle.knowledge_tags SELECT k.workspace_id, k.id, t.id FROM treadle.knowledge AS k JOIN treadle.tags AS t USING (workspace_id)
     WHERE k.workspace_id = $1`,
    [id],
  );
  await workspaces.delete('doomed');
  for (const table of [
    'knowledge',
    'knowledge_versions',
    'knowledge_tags',
    'tags',
    'collections',
    'users',
    'workspace_members',
  ]) {
    const left = await database.query(`SELECT FROM treadle.${table} WHERE workspace_id = $1`, [id]);
    expect([table, left]).toEqual([table, []]);
  }
  const events = await database.query<{ type: string; count: number }>(
    'SELECT type, count(*)::integer AS count FROM treadle.events WHERE workspace_id = $1 GROUP BY type ORDER BY type',
    [id],
  );
  expect(events).toEqual([
    { type: 'knowledge.created', count: 50 },
    { type: 'knowledge.deleted', count: 50 },
    { type: 'tag.created', count: 1 },
  ]);
});
