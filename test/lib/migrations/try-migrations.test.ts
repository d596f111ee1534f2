import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { migrateUp } from '../../../src/lib/migrations/migrate.ts';
import { tryMigrations, type MigrationTrial } from '../../../src/lib/migrations/try-migrations.ts';
import { withMigrationLock } from '../../../src/lib/migrations/with-migration-lock.ts';
import { tryAll } from '../../../src/queues/migrations/migrate-all.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase({ schema: 'empty' });
const log = createLog({ level: 'silent' });
const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

const folderOf = async (files: Readonly<Record<string, string>>): Promise<string> => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'treadle-migrations-'));
  folders.push(folder);
  for (const [name, up] of Object.entries(files))
    await writeFile(path.join(folder, `${name}.sql`), `-- Up Migration\n${up}\n\n-- Down Migration\nSELECT 1;\n`);
  return folder;
};

const tryFolder = (folder: string): Promise<readonly MigrationTrial[]> =>
  withMigrationLock(database.url, log, (client) => tryMigrations(client, log, folder));

const objects = (): Promise<unknown[]> =>
  database.query(
    `SELECT 'schema' AS kind, nspname AS name FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
     UNION ALL SELECT 'table', relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
     UNION ALL SELECT 'extension', extname FROM pg_extension ORDER BY 1, 2`,
  );

test("a dry run of Treadle's own migrations passes on an empty database, and leaves it empty", async () => {
  const before = await objects();
  const trials = await tryAll(database.url, log);
  const [first] = trials;
  expect(first).toEqual({ name: '001_foundation', outcome: 'passes', reason: null, hazards: [] });
  expect(trials.filter(({ outcome }) => outcome !== 'passes')).toEqual(
    ['bullmq', 'pgboss'].map((name) => ({
      name,
      outcome: 'not-tried',
      reason: 'the library runs it in transactions of its own',
      hazards: [],
    })),
  );
  expect(await objects()).toEqual(before);
});

test('a dry run names what fails, what comes after it, and what cannot be tried', async () => {
  const before = await objects();
  const failing = await folderOf({
    '001_one': 'CREATE TABLE public.one (id int);',
    '002_two': 'SELECT 1/0;',
    '003_three': 'SELECT 1;',
  });
  expect(await tryFolder(failing)).toEqual([
    { name: '001_one', outcome: 'passes', reason: null, hazards: [] },
    { name: '002_two', outcome: 'fails', reason: 'division by zero', hazards: [] },
    { name: '003_three', outcome: 'not-tried', reason: 'it comes after 002_two', hazards: [] },
  ]);
  const committing = await folderOf({ '001_one': 'CREATE TABLE public.one (id int); COMMIT;' });
  expect(await tryFolder(committing)).toMatchObject([
    { outcome: 'not-tried', reason: 'it begins or ends transactions itself' },
  ]);
  const alone = await folderOf({ '001_one': 'VACUUM pg_catalog.pg_class;' });
  expect(await tryFolder(alone)).toMatchObject([
    { outcome: 'not-tried', reason: expect.stringMatching('cannot be run in a transaction') },
  ]);
  expect(await objects()).toEqual(before);
});

test('a dry run shows what would lock a large table, and does not try it', async () => {
  await database.query('CREATE TABLE public.large AS SELECT n AS a FROM generate_series(1, 110000) AS n');
  const folder = await folderOf({ '001_index': 'CREATE INDEX ON public.large (a);' });
  expect(await tryFolder(folder)).toMatchObject([
    { name: '001_index', outcome: 'not-tried', hazards: [{ line: 2, table: 'public.large' }] },
  ]);
  const done = await folderOf({ '001_small': 'CREATE TABLE public.small (a int);' });
  await withMigrationLock(database.url, log, (client) => migrateUp(client, log, done));
  expect(await tryFolder(done)).toEqual([]);
});
