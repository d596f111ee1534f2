import { beforeAll, expect, test } from 'vitest';
import { KnowledgeService } from '../../../src/domain/knowledge/service.ts';
import { UserService } from '../../../src/domain/users/service.ts';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const unknownId = '0196f0aa-0000-7000-8000-000000000000';
let users: UserService;
let here: string;
let there: string;
beforeAll(async () => {
  const services = { postgres: database.postgres, log: createLog({ level: 'silent' }) };
  users = new UserService(services);
  here = (await new WorkspaceService(services).create({ name: 'here' })).id;
  there = (await new WorkspaceService(services).create({ name: 'there' })).id;
});

test('an account is found by its email whatever the case, and made once by many at a time', async () => {
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      users.ensure({ email: n % 2 ? 'Ada@Example.org' : 'ada@example.ORG', name: 'Ada' }),
    ),
  );
  expect(new Set(all.map(({ id }) => id)).size).toBe(1);
  expect(await users.findByEmail('ADA@EXAMPLE.ORG')).toMatchObject({
    name: 'Ada',
    workspaceId: null,
    status: 'active',
  });
  expect(await users.findByEmail('nobody@example.org')).toBeUndefined();
  expect(await users.findById(all[0]?.id ?? '')).toEqual(all[0]);
  expect(await users.findById('not-an-id')).toBeUndefined();
});

test.each(['', 'ada', 'a b@c', `${'a'.repeat(320)}@b`, 'a@b\0'])('refuses the email %j', async (email) => {
  await expect(users.ensure({ email })).rejects.toMatchObject({ details: { faults: [{ path: 'email' }] } });
});

test('authors are known by email or by name, in one workspace each, in the order asked for', async () => {
  const people = ['Grace Hopper', 'Alan <alan@example.org> (https://example.org)', { name: 'Linus' }, 'grace hopper'];
  const first = await users.ensureAuthors(here, people);
  expect(first).toHaveLength(4);
  expect(first[3]).toBe(first[0]);
  expect(await users.ensureAuthors(here, people.toReversed())).toEqual(first.toReversed());
  expect(await users.ensureAuthors(here, ['A. Turing <ALAN@example.org>'])).toEqual([first[1]]);
  const elsewhere = await users.ensureAuthors(there, people);
  expect(elsewhere.filter((id) => first.includes(id))).toEqual([]);
  expect(await users.findById(first[1] ?? '')).toMatchObject({
    name: 'Alan',
    email: 'alan@example.org',
    workspaceId: here,
  });
  expect(await users.isMember(here, first[0] ?? '')).toBe(true);
  expect(await users.isMember(there, first[0] ?? '')).toBe(false);
  expect(await users.findByEmail('alan@example.org')).toBeUndefined();
});

test('an account is named as an author only where it is a member', async () => {
  const account = await users.ensure({ email: 'member@example.org', name: 'Member' });
  const [stranger] = await users.ensureAuthors(there, ['Somebody <member@example.org>']);
  expect(stranger).not.toBe(account.id);
  await users.addMember(here, account.id);
  await users.addMember(here, account.id);
  expect(await users.ensureAuthors(here, ['Somebody <member@example.org>'])).toEqual([account.id]);
  await expect(users.addMember(unknownId, account.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(users.addMember(here, unknownId)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('many that name the same new authors at once make each of them once', async () => {
  const people = Array.from({ length: 30 }, (_, n) => `Author ${n}`);
  const all = await Promise.all(
    Array.from({ length: 10 }, (_, n) => users.ensureAuthors(here, n % 2 ? people : people.toReversed())),
  );
  const forward = all.map((ids, n) => (n % 2 ? ids : ids.toReversed()));
  for (const ids of forward) expect(ids).toEqual(forward[0]);
});

test.each(['', ' ', 'x'.repeat(201), 'a\0b', '\udc00', 'two\nlines'])('refuses the author %j', async (name) => {
  await expect(users.ensureAuthors(here, [name])).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
});

test('a role is granted to members, from the workspace or the system', async () => {
  const account = await users.ensure({ email: 'granted@example.org' });
  const [own, foreign, system] = await database.query<{ id: string }>(
    `INSERT INTO treadle.roles (workspace_id, name, permissions, is_system_role)
     VALUES ($1, 'own', '{knowledge:read}', false), ($2, 'foreign', '{}', false), ($2, 'system', '{*}', true) RETURNING id`,
    [here, there],
  );
  const grant = (role: { id: string } | undefined) => users.grantRole(here, account.id, role?.id ?? '');
  await expect(grant(own)).rejects.toMatchObject({ details: { faults: [{ path: 'userId' }] } });
  await users.addMember(here, account.id);
  await grant(own);
  await grant(system);
  await expect(grant(foreign)).rejects.toMatchObject({ details: { faults: [{ path: 'roleId' }] } });
  expect((await users.rolesOf(here, account.id)).map(({ name }) => name)).toEqual(['own', 'system']);
  expect(await users.rolesOf(there, account.id)).toEqual([]);
});

test('who may be used, what somebody has written, and who has written most', async () => {
  const services = { postgres: database.postgres, log: createLog({ level: 'silent' }) };
  const workspace = (await new WorkspaceService(services).create({ name: 'library' })).id;
  const knowledge = new KnowledgeService(services);
  for (const [author, status] of [
    ['Mia', 'published'],
    ['Mia', 'draft'],
    ['Ada L', 'draft'],
  ] as const)
    await knowledge.create(workspace, { title: 'x', author, status });
  const top = await users.getTopContributors(workspace);
  expect(top.map(({ name, documents }) => [name, documents])).toEqual([
    ['Mia', 2],
    ['Ada L', 1],
  ]);
  expect(await users.getTopContributors(workspace, 1)).toEqual(top.slice(0, 1));
  expect(await users.getTopContributors(here)).toEqual([]);
  expect(await users.getUserStats(top[0]?.id ?? '')).toEqual({
    documents: 2,
    published: 1,
    workspaces: 1,
    lastChangeAt: top[0]?.lastChangeAt,
  });
  await expect(users.getUserStats(unknownId)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  const [older, newer] = [
    await users.ensure({ email: 'older@example.org' }),
    await users.ensure({ email: 'newer@example.org' }),
  ];
  expect((await users.findActiveUsers(2)).map(({ id }) => id)).toEqual([newer.id, older.id]);
  await database.query(`UPDATE treadle.users SET status = 'disabled' WHERE id = $1`, [newer.id]);
  expect((await users.findActiveUsers()).map(({ id }) => id)).not.toContain(newer.id);
  await expect(users.findActiveUsers(0)).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
});
