import { expect, test } from 'vitest';
import { seed } from '../../../src/domain/seed/seed.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const services = () => ({ postgres: database.postgres, log: createLog({ level: 'silent' }) });

test('seeding makes the system workspace, its roles and an administrator, once, however often it runs', async () => {
  const [first, ...others] = await Promise.all(Array.from({ length: 5 }, () => seed(services())));
  for (const other of [...others, await seed(services())]) expect(other).toEqual(first);
  expect(first?.workspace.name).toBe('system');
  expect(first?.roles.map(({ name, permissions }) => [name, permissions])).toEqual([
    ['admin', ['*']],
    ['editor', ['knowledge:read', 'knowledge:write', 'knowledge:comment']],
    ['viewer', ['knowledge:read']],
  ]);
  expect(first?.admin).toMatchObject({ email: 'admin@localhost', status: 'active' });
  const held = await database.query('SELECT r.name FROM treadle.user_roles JOIN treadle.roles AS r ON r.id = role_id');
  expect(held).toEqual([{ name: 'admin' }]);
});

test('what an administrator changed is left alone', async () => {
  await seed(services());
  await database.query(`UPDATE treadle.roles SET permissions = '{search:read}' WHERE name = 'viewer'`);
  await database.query(`UPDATE treadle.users SET name = 'Root' WHERE email = 'admin@localhost'`);
  const again = await seed(services());
  expect(again.roles.find(({ name }) => name === 'viewer')?.permissions).toEqual(['search:read']);
  expect(again.admin.name).toBe('Root');
});
