import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { LoginService } from '../../../src/domain/access/login-service.ts';
import { KeyService } from '../../../src/domain/access/service.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const service = (environment: ConstructorParameters<typeof KeyService>[1] = []) =>
  new KeyService(database.postgres, environment);
beforeEach(async () => {
  await database.query('TRUNCATE treadle.api_keys, treadle.browser_logins, treadle.users, treadle.workspaces CASCADE');
});

describe('a key', () => {
  test('is recognised by its secret, with its scopes', async () => {
    const keys = service();
    const { key, secret } = await keys.create({ name: 'ci', scopes: ['jobs:write', 'jobs:read', 'jobs:read'] });
    expect(secret).toMatch(/^trd_[\w-]{43}$/);
    expect(key).toMatchObject({
      name: 'ci',
      prefix: secret.slice(0, 12),
      scopes: ['jobs:write', 'jobs:read'],
      revokedAt: null,
    });
    expect(await service().authenticate(secret)).toEqual({
      id: `key:${key.id}`,
      name: 'ci',
      scopes: ['jobs:write', 'jobs:read'],
      workspaceId: undefined,
      userId: undefined,
    });
  });

  test('leaves nothing in the database that opens anything', async () => {
    const { secret } = await service().create({ name: 'ci', scopes: ['admin'] });
    const text = JSON.stringify(
      await database.query('SELECT *, encode(secret_hash, $1) AS hash FROM treadle.api_keys', ['hex']),
    );
    expect(text).not.toContain(secret);
    expect(text).toContain(createHash('sha256').update(secret).digest('hex'));
  });

  test.each(['', 'trd_', 'x', `trd_${'A'.repeat(43)}`, '\u0000', 'ü'.repeat(100)])(
    'is not recognised by %j',
    async (secret) => {
      const keys = service();
      await keys.create({ name: 'ci', scopes: ['admin'] });
      expect(await keys.authenticate(secret)).toBeUndefined();
    },
  );

  test('with the prefix of another and a different rest is nobody', async () => {
    const keys = service();
    const { secret } = await keys.create({ name: 'ci', scopes: ['admin'] });
    expect(await keys.authenticate(`${secret.slice(0, 12)}${'x'.repeat(secret.length - 12)}`)).toBeUndefined();
  });

  test('needs a name of its own and scopes that exist; every fault is named', async () => {
    const keys = service();
    await expect(keys.create({ name: ' ', scopes: ['admin'] })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: [{ path: 'name' }] },
    });
    await expect(keys.create({ name: 'a', scopes: ['jobs:fly', 'admin', 'root'] })).rejects.toMatchObject({
      details: { faults: [{ message: '"jobs:fly" is not a scope' }, { message: '"root" is not a scope' }] },
    });
    await expect(keys.create({ name: 'a', scopes: [] })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    await keys.create({ name: 'a', scopes: ['admin'] });
    await expect(keys.create({ name: 'a', scopes: ['admin'] })).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
    });
  });

  test('cannot be bound to what does not exist', async () => {
    const keys = service();
    const unknown = '00000000-0000-7000-8000-000000000000';
    const create = (bound: { workspaceId?: string; userId?: string }) =>
      keys.create({ name: 'x', scopes: ['admin'], ...bound });
    await expect(create({ workspaceId: unknown })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      details: { entity: 'workspace' },
    });
    await expect(create({ userId: unknown })).rejects.toMatchObject({ code: 'NOT_FOUND', details: { entity: 'user' } });
    await expect(create({ userId: 'me' })).rejects.toMatchObject({ details: { faults: [{ path: 'userId' }] } });
    expect(await keys.hasKeys()).toBe(false);
  });

  test('is revoked by id, name or prefix, and its name is free again', async () => {
    const keys = service();
    for (const reference of ['id', 'name', 'prefix'] as const) {
      const { key, secret } = await keys.create({ name: 'again', scopes: ['jobs:read'] });
      expect(await keys.authenticate(secret)).toBeDefined();
      expect((await keys.revoke(key[reference])).revokedAt).not.toBeNull();
      expect(await keys.authenticate(secret)).toBeUndefined();
    }
    await expect(keys.revoke('again')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await keys.list()).toHaveLength(3);
    expect(JSON.stringify(await keys.list())).not.toContain('secretHash');
  });

  test('of a user who is disabled opens nothing', async () => {
    const keys = service();
    const [user] = await database.query<{ id: string }>(
      "INSERT INTO treadle.users (email, name) VALUES ('ada@example.com', 'Ada') RETURNING id",
    );
    const { secret } = await keys.create({ name: 'ada', scopes: ['admin'], userId: user?.id });
    expect((await service().authenticate(secret))?.userId).toBe(user?.id);
    await database.query("UPDATE treadle.users SET status = 'disabled'");
    expect(await service().authenticate(secret)).toBeUndefined();
  });

  test('shows when it was used last', async () => {
    const keys = service();
    const { secret } = await keys.create({ name: 'used', scopes: ['admin'] });
    await keys.authenticate(secret);
    expect((await keys.list())[0]?.lastUsedAt).toBeInstanceOf(Date);
  });
});

describe('whether there are keys', () => {
  test('follows what is made and revoked', async () => {
    const keys = service();
    expect(await keys.hasKeys()).toBe(false);
    await keys.create({ name: 'one', scopes: ['admin'] });
    expect(await keys.hasKeys()).toBe(true);
    await keys.revoke('one');
    expect(await keys.hasKeys()).toBe(false);
  });

  test('is true with keys of the environment alone', async () => {
    const sha256 = createHash('sha256').update('secret').digest('hex');
    const keys = service([{ name: 'ops', sha256, scopes: ['jobs:read'] }]);
    expect(await keys.hasKeys()).toBe(true);
    expect(await keys.authenticate('secret')).toMatchObject({ id: 'env:ops', scopes: ['jobs:read'] });
  });
});

describe('the admin key of a seed', () => {
  test('is made once, however many seed at once', async () => {
    const made = await Promise.all(Array.from({ length: 5 }, () => service().ensureAdminKey()));
    const [created, ...others] = made.filter((result) => result !== undefined);
    expect(others).toEqual([]);
    expect(await service().authenticate(created?.secret ?? '')).toMatchObject({ scopes: ['admin'] });
    expect(await service().ensureAdminKey()).toBeUndefined();
  });
});

describe('a login', () => {
  test('stands for its key until it is logged out, and is kept as a hash', async () => {
    const keys = service();
    const logins = new LoginService(database.postgres, keys);
    const { secret } = await keys.create({ name: 'browser', scopes: ['queues:admin'] });
    expect(await logins.logIn('wrong')).toBeUndefined();
    const login = await logins.logIn(secret);
    expect(login?.expiresAt.getTime()).toBeGreaterThan(Date.now() + 11 * 3_600_000);
    expect(JSON.stringify(await database.query('SELECT * FROM treadle.browser_logins'))).not.toContain(login?.token);
    expect(await logins.authenticate(login?.token ?? '')).toMatchObject({ name: 'browser' });
    await logins.logOut(login?.token ?? '');
    expect(await logins.authenticate(login?.token ?? '')).toBeUndefined();
  });
});
