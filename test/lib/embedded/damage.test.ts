import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { attachToServer } from '../../../src/lib/embedded/attach-to-server.ts';
import { useOwners } from './owner.ts';

const { usedFolder, own, refused } = useOwners();

test('a folder of another major version is refused, by owners and commands alike', async () => {
  const folder = await usedFolder();
  await writeFile(path.join(folder, 'postgres/data/PG_VERSION'), '17\n');
  const { code, message } = await refused(folder);
  expect(code).toBe('CONFIGURATION_ERROR');
  expect(message).toContain('holds a database of Postgres 17, and this Treadle brings Postgres 18');
  await expect(attachToServer(folder)).rejects.toMatchObject({ code: 'CONFIGURATION_ERROR' });
});

test.each(['data/PG_VERSION', 'data/global/pg_control', 'password'])(
  'a folder whose %s is empty is called damaged',
  async (file) => {
    const folder = await usedFolder();
    await truncate(path.join(folder, 'postgres', file));
    const { code, message } = await refused(folder);
    expect(code).toBe('CONFIGURATION_ERROR');
    expect(message).toContain(`${path.join(folder, 'postgres', file)} is missing or empty`);
  },
);

test('a server that cannot start is quoted, and the folder is left as it was', async () => {
  const folder = await usedFolder();
  const control = path.join(folder, 'postgres/data/global/pg_control');
  const noise = Buffer.alloc((await readFile(control)).length, 7);
  await writeFile(control, noise);
  const { code, message } = await refused(folder);
  expect(code).toBe('DB_CONNECTION_ERROR');
  expect(message).toContain(path.join(folder, 'postgres/server.log'));
  expect(message).toMatch(/FATAL|PANIC/);
  expect(await readFile(control)).toEqual(noise);
});

test('a password that the database does not know is told as such', async () => {
  const folder = await usedFolder();
  await writeFile(path.join(folder, 'postgres/password'), 'something else\n', { mode: 0o600 });
  const { code, message } = await refused(folder);
  expect(code).toBe('CONFIGURATION_ERROR');
  expect(message).toContain(path.join(folder, 'postgres/password'));
  expect(message).not.toContain('something else');
});

test('what a killed first start left is not taken for a database', async () => {
  const folder = await usedFolder();
  await rm(path.join(folder, 'postgres'), { recursive: true });
  await mkdir(path.join(folder, 'postgres.new-999999999/data'), { recursive: true });
  expect((await own(folder)).how).toBe('created');
  await expect(readFile(path.join(folder, 'postgres.new-999999999/data'))).rejects.toMatchObject({ code: 'ENOENT' });
});
