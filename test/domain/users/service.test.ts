import { beforeAll, expect, test } from 'vitest';
import { KnowledgeService } from '../../../src/domain/knowledge/service.ts';
import { RoleService } from '../../../src/domain/users/role-service.ts';
import { UserService } from '../../../src/domain/users/service.ts';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import type { Page } from '../../../src/lib/postgres/keyset-page.ts';
import { useDatabase } from '../../services/database.ts';
import { faultsAt } from '../knowledge/faults-at.ts';

const database = useDatabase();
const unknownId = '0196f0aa-0000-7000-8000-000000000000';
let users: UserService;
let roles: RoleService;
let here: string;
let there: string;
beforeAll(async () => {
  const services = { postgres: database.postgres, log: createLog({ level: 'silent' }) };
  users = new UserService(services);
  roles = new RoleService(services);
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

/** Everything that pages lead to, forwards and back again. */
const walk = async <T extends { readonly id: string }>(
  list: (cursor: string | undefined) => Promise<Page<T>>,
): Promise<readonly [forward: readonly T[], back: readonly T[]]> => {
  const forward: T[] = [];
  let page = await list(undefined);
  for (;;) {
    forward.push(...page.items);
    if (page.nextCursor === null) break;
    page = await list(page.nextCursor);
  }
  const back = [...page.items];
  while (page.prevCursor !== null) {
    page = await list(page.prevCursor);
    back.unshift(...page.items);
  }
  return [forward, back];
};

test('an account is made once, changed, disabled and deleted, and whoever is late is told', async () => {
  const services = { postgres: database.postgres, log: createLog({ level: 'silent' }) };
  const made = await users.create({ email: 'Eve@example.org', name: 'Eve' });
  expect(made).toMatchObject({ email: 'Eve@example.org', workspaceId: null, status: 'active', revision: 1 });
  const again = { code: 'DATA_CONSISTENCY_ERROR', status: 409, details: { entity: 'user' } };
  await expect(users.create({ email: 'eve@EXAMPLE.org' })).rejects.toMatchObject(again);
  const renamed = await users.update(made.id, { name: 'Eve E.' }, { expectedRevision: 1 });
  expect(renamed).toMatchObject({ name: 'Eve E.', status: 'active', revision: 2 });
  expect(renamed.updatedAt.getTime()).toBeGreaterThanOrEqual(made.updatedAt.getTime());
  expect(await users.update(made.id, { name: 'Eve E.' })).toEqual(renamed);
  expect(await users.update(made.id, {}, { expectedRevision: 2 })).toEqual(renamed);
  const late = { ...again, details: { entity: 'user', entityId: made.id, expected: 1, actual: 2 } };
  await expect(users.update(made.id, { status: 'disabled' }, { expectedRevision: 1 })).rejects.toMatchObject(late);
  await expect(users.delete(made.id, { expectedRevision: 1 })).rejects.toMatchObject(late);
  expect(await users.update(made.id, { status: 'disabled' })).toMatchObject({ status: 'disabled', revision: 3 });
  expect((await users.findActiveUsers()).map(({ id }) => id)).not.toContain(made.id);
  await users.addMember(here, made.id);
  const knowledge = new KnowledgeService(services);
  const { id } = await knowledge.create(here, { title: 'Hers', authorId: made.id });
  await users.delete(made.id, { expectedRevision: 3, actor: 'ada' });
  expect(await users.findById(made.id)).toBeUndefined();
  expect(await knowledge.findById(here, id)).toMatchObject({ author: null, version: 2 });
  expect((await knowledge.versions(here, id)).items[0]).toMatchObject({ actor: 'ada', changed: ['author_id'] });
  for (const unknown of [made.id, 'nobody', '\0']) {
    await expect(users.update(unknown, { name: 'x' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(users.delete(unknown, { expectedRevision: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
});

test('accounts are listed by email and members as they came, by status, and counted', async () => {
  const workspace = (
    await new WorkspaceService({ postgres: database.postgres, log: createLog({ level: 'silent' }) }).create({
      name: 'crowd',
    })
  ).id;
  const known = await users.count();
  const made = [];
  for (const name of ['c', 'A', 'b', 'D', 'e']) made.push(await users.create({ email: `${name}@crowd.org` }));
  const emails = (all: readonly { email: string | null }[]): (string | null)[] =>
    all.map(({ email }) => email).filter((email) => email?.endsWith('@crowd.org') === true);
  for (const all of await walk((cursor) => users.findMany({ limit: 2, cursor }))) {
    expect(emails(all)).toEqual(['A@crowd.org', 'b@crowd.org', 'c@crowd.org', 'D@crowd.org', 'e@crowd.org']);
    expect(all).toHaveLength(known + 5);
  }
  expect(await users.count()).toBe(known + 5);
  const authors = await users.ensureAuthors(workspace, ['Zed', 'Yan <y@crowd.org>', 'Xi']);
  const [zed = '', , xi = ''] = authors;
  const ids = [made[1]?.id ?? '', ...authors];
  await users.addMember(workspace, made[1]?.id ?? '');
  for (const members of await walk((cursor) => users.findMembers(workspace, { limit: 3, cursor })))
    expect(members.map(({ id }) => id)).toEqual(ids.toSorted((a, b) => a.localeCompare(b)));
  await users.update(xi, { status: 'disabled' });
  const disabled = await users.findMembers(workspace, { status: 'disabled' });
  expect(disabled.items.map(({ name }) => name)).toEqual(['Xi']);
  expect([await users.countMembers(workspace), await users.countMembers(workspace, { status: 'active' })]).toEqual([
    4, 3,
  ]);
  expect(await users.countMembers(here, { status: 'disabled' })).toBe(0);
  await users.update(made[0]?.id ?? '', { status: 'disabled' });
  expect(emails((await users.findMany({ status: 'disabled' })).items)).toEqual(['c@crowd.org']);
  const taken = { code: 'DATA_CONSISTENCY_ERROR', details: { entity: 'user', entityId: zed } };
  await expect(users.update(zed, { name: 'xi' })).rejects.toMatchObject(taken);
  await expect(users.findMembers('nowhere')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('roles are made, listed, changed, revoked and deleted in their workspace; those of the system stay', async () => {
  const services = { postgres: database.postgres, log: createLog({ level: 'silent' }) };
  const workspace = (await new WorkspaceService(services).create({ name: 'with-roles' })).id;
  const made = await roles.create(workspace, { name: ' writer ', permissions: ['knowledge:write', 'knowledge:write'] });
  expect(made).toMatchObject({ name: 'writer', permissions: ['knowledge:write'], isSystemRole: false, revision: 1 });
  for (const name of ['auditor', 'reader']) await roles.create(workspace, { name });
  await roles.create(there, { name: 'writer' });
  for (const all of await walk((cursor) => roles.findMany(workspace, { limit: 2, cursor })))
    expect(all.map(({ name }) => name)).toEqual(['auditor', 'reader', 'writer']);
  expect(await roles.count(workspace)).toBe(3);
  expect(await roles.findById(workspace, made.id)).toEqual(made);
  expect(await roles.findById(there, made.id)).toBeUndefined();
  const conflict = { code: 'DATA_CONSISTENCY_ERROR', details: { entity: 'role' } };
  await expect(roles.create(workspace, { name: 'writer' })).rejects.toMatchObject(conflict);
  await expect(roles.update(workspace, made.id, { name: 'reader' })).rejects.toMatchObject(conflict);
  const changed = await roles.update(workspace, made.id, { permissions: ['*'] }, { expectedRevision: 1 });
  expect(changed).toMatchObject({ name: 'writer', permissions: ['*'], revision: 2 });
  const late = { ...conflict, details: { entity: 'role', entityId: made.id, expected: 1, actual: 2 } };
  await expect(roles.update(workspace, made.id, { name: 'x' }, { expectedRevision: 1 })).rejects.toMatchObject(late);
  await expect(roles.delete(workspace, made.id, { expectedRevision: 1 })).rejects.toMatchObject(late);
  const [user = ''] = await users.ensureAuthors(workspace, ['Wren']);
  await users.grantRole(workspace, user, made.id);
  expect(await users.rolesOf(workspace, user)).toEqual([changed]);
  expect([await users.revokeRole(workspace, user, made.id), await users.revokeRole(workspace, user, made.id)]).toEqual([
    true,
    false,
  ]);
  await users.grantRole(workspace, user, made.id);
  await roles.delete(workspace, made.id, { expectedRevision: 2 });
  expect(await users.rolesOf(workspace, user)).toEqual([]);
  const missing = { code: 'NOT_FOUND', details: { entity: 'role', entityId: made.id } };
  await expect(roles.update(workspace, made.id, { name: 'x' })).rejects.toMatchObject(missing);
  await expect(roles.delete(workspace, made.id)).rejects.toMatchObject(missing);
  const system = await roles.ensureSystemRole(workspace, 'everything', ['*']);
  for (const attempt of [
    () => roles.update(workspace, system.id, { permissions: [] }),
    () => roles.delete(workspace, system.id, { expectedRevision: 1 }),
  ])
    await expect(attempt()).rejects.toMatchObject({
      ...conflict,
      message: expect.stringContaining('belongs to the system'),
    });
  expect(await roles.findById(workspace, system.id)).toEqual(system);
  for (const unknown of [unknownId, 'nowhere'])
    await expect(roles.create(unknown, { name: 'x' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      details: { entity: 'workspace' },
    });
});

const long = (length: number): string => 'x'.repeat(length);
test.each<[string, () => Promise<unknown>, string]>([
  ['a user’s name beyond its column', () => users.update(unknownId, { name: long(201) }), 'name'],
  ['NUL in a user’s name', () => users.create({ email: 'a@b', name: 'a\0' }), 'name'],
  ['an unknown status', () => users.update(unknownId, { status: 'gone' as 'active' }), 'status'],
  ['a field that no writer sets', () => users.update(unknownId, { revision: 7 } as object), 'revision'],
  [
    'a revision that is no number',
    () => users.update(unknownId, {}, { expectedRevision: Number('abc') }),
    'expectedRevision',
  ],
  ['a revision below 1', () => users.delete(unknownId, { expectedRevision: 0 }), 'expectedRevision'],
  ['an actor with NUL', () => users.delete(unknownId, { actor: '\0' }), 'actor'],
  ['an unknown filter of accounts', () => users.findMany({ colour: 'red' } as object), 'colour'],
  ['an unknown filter of members', () => users.countMembers(here, { name: 'x' } as object), 'name'],
  ['a status to filter by that there is not', () => users.findMembers(here, { status: 'x' as 'active' }), 'status'],
  ['a cursor of another list', () => users.findMany({ cursor: 'x' }), 'cursor'],
  ['a role’s name beyond its column', () => roles.create(here, { name: long(101) }), 'name'],
  ['NUL in a role’s name', () => roles.update(here, unknownId, { name: 'a\0' }), 'name'],
  ['what is no permission', () => roles.create(here, { name: 'x', permissions: ['*', 'knowledge'] }), 'permissions[1]'],
  [
    'a role’s revision that is no number',
    () => roles.update(here, unknownId, {}, { expectedRevision: 1.5 }),
    'expectedRevision',
  ],
])('refuses %s by naming the field', async (_, attempt, path) => {
  await expect(attempt()).rejects.toMatchObject(faultsAt(path));
});
