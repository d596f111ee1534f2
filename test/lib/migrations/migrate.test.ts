import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { Client } from 'pg';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { migrateDown, migrateUp } from '../../../src/lib/migrations/migrate.ts';
import { migrationStatus } from '../../../src/lib/migrations/migration-status.ts';
import { withMigrationLock } from '../../../src/lib/migrations/with-migration-lock.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase({ schema: 'empty' });
const log = createLog({ level: 'silent' });
const folders: string[] = [];

const folderOf = async (files: Readonly<Record<string, string>>): Promise<string> => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'treadle-migrations-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(folder, `${name}.sql`), text);
  return folder;
};
const migration = (up: string, down: string): string => `-- Up Migration\n${up}\n\n-- Down Migration\n${down}\n`;

const three = {
  '001_one': migration('CREATE TABLE treadle.one (id int);', 'DROP TABLE treadle.one;'),
  '002_two': migration(`CREATE TABLE treadle.two AS SELECT '{}'::jsonb AS data;`, 'DROP TABLE treadle.two;'),
  '003_three': migration('CREATE TABLE treadle.three (id int);', 'DROP TABLE treadle.three;'),
};

const up = (folder: string) => withMigrationLock(database.url, log, (client) => migrateUp(client, log, folder));
const down = (count: number, folder: string) =>
  withMigrationLock(database.url, log, (client) => migrateDown(client, log, count, folder));
const states = async (folder: string): Promise<Record<string, string>> =>
  Object.fromEntries((await migrationStatus(database.postgres, folder)).map(({ name, state }) => [name, state]));
const tables = async (): Promise<string[]> => {
  const rows = await database.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'treadle' AND tablename NOT LIKE 'migration%' ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
};

beforeEach(() => database.query('DROP SCHEMA IF EXISTS treadle CASCADE'));
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

test('up applies what is pending in the order of the names, down takes back the latest first', async () => {
  const folder = await folderOf(three);
  expect(await states(folder)).toEqual({ '001_one': 'pending', '002_two': 'pending', '003_three': 'pending' });
  expect(await up(folder)).toEqual(['001_one', '002_two', '003_three']);
  expect(await tables()).toEqual(['one', 'three', 'two']);
  expect(await up(folder)).toEqual([]);
  expect(await down(2, folder)).toEqual(['003_three', '002_two']);
  expect(await tables()).toEqual(['one']);
  expect(await states(folder)).toEqual({ '001_one': 'applied', '002_two': 'pending', '003_three': 'pending' });
  expect(await up(folder)).toEqual(['002_two', '003_three']);
});

test('a migration that fails is rolled back and named; those before it stay', async () => {
  const folder = await folderOf({
    ...three,
    '002_two': migration('CREATE TABLE treadle.two (id int); SELECT nothing_like_it();', 'SELECT 1;'),
  });
  await expect(up(folder)).rejects.toMatchObject({
    code: 'INTERNAL_ERROR',
    message: expect.stringContaining('002_two'),
  });
  expect(await tables()).toEqual(['one']);
  expect(await states(folder)).toEqual({ '001_one': 'applied', '002_two': 'pending', '003_three': 'pending' });
  await writeFile(path.join(folder, '002_two.sql'), three['002_two']);
  expect(await up(folder)).toEqual(['002_two', '003_three']);
  expect(await states(folder)).toMatchObject({ '002_two': 'applied' });
});

test('of runners at the same time one applies and the others find nothing to do', async () => {
  const folder = await folderOf(three);
  const applied = await Promise.all([up(folder), up(folder), up(folder), up(folder)]);
  expect(applied.flat().toSorted()).toEqual(Object.keys(three));
});

test('a file that was changed after it was applied is reported; line ends do not count', async () => {
  const folder = await folderOf(three);
  await up(folder);
  await writeFile(path.join(folder, '001_one.sql'), three['001_one'].replaceAll('\n', '\r\n'));
  await writeFile(path.join(folder, '002_two.sql'), `${three['002_two']}-- and more\n`);
  expect(await states(folder)).toEqual({ '001_one': 'applied', '002_two': 'changed', '003_three': 'applied' });
});

test('a database that is newer than the code is refused, and left as it is', async () => {
  const newer = await folderOf(three);
  await up(newer);
  const older = await folderOf({});
  await cp(newer, older, { recursive: true });
  await rm(path.join(older, '003_three.sql'));
  for (const run of [() => up(older), () => down(1, older)]) {
    await expect(run()).rejects.toMatchObject({
      code: 'SCHEMA_MISMATCH',
      message: expect.stringContaining('003_three'),
      details: { expected: '002_two', actual: '003_three', command: 'treadle migrate down 1' },
    });
  }
  expect(await tables()).toEqual(['one', 'three', 'two']);
});

test('a migration that slipped in before applied ones is refused', async () => {
  const folder = await folderOf({ '001_one': three['001_one'], '003_three': three['003_three'] });
  await up(folder);
  await writeFile(path.join(folder, '002_two.sql'), three['002_two']);
  await expect(up(folder)).rejects.toMatchObject({
    code: 'SCHEMA_MISMATCH',
    message: expect.stringContaining('002_two'),
  });
});

test('a table in use is waited for, a few seconds at a time', async () => {
  const folder = await folderOf({ '001_one': three['001_one'] });
  await up(folder);
  await writeFile(
    path.join(folder, '002_wider.sql'),
    migration('ALTER TABLE treadle.one ADD COLUMN more int;', 'ALTER TABLE treadle.one DROP COLUMN more;'),
  );
  const user = new Client({ connectionString: database.url });
  await user.connect();
  try {
    await user.query('BEGIN; LOCK TABLE treadle.one IN ACCESS SHARE MODE');
    const waiting = up(folder);
    const gaveUp = async (): Promise<boolean> => {
      const rows = await database.query(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'treadle:migrations'
        AND datname = current_database() AND state = 'idle' AND query = 'ROLLBACK'`);
      return rows.length > 0;
    };
    await expect.poll(gaveUp, { timeout: 20_000, interval: 20 }).toBe(true);
    await user.query('COMMIT');
    expect(await waiting).toEqual(['002_wider']);
  } finally {
    await user.end();
  }
});
