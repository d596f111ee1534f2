import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readMigrationFiles } from '../../src/lib/migrations/migration-files.ts';
import { runTreadle, startTreadle } from '../cli/run-treadle.ts';
import { factors, makeItems } from '../lib/migrations/items.ts';
import { useDatabase } from '../services/database.ts';
import { RunningProcess } from './run-process.ts';

const database = useDatabase();
const empty = useDatabase({ schema: 'empty' });
const jobs = path.join(import.meta.dirname, 'data-migration-jobs.ts');
const env = () => ({ DATABASE_URL: database.url, TREADLE_JOBS: jobs });
const five = Array.from({ length: 5 });

let folder = '';
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-migrations-'));
});
afterAll(() => fs.rm(folder, { recursive: true }));

/** Waits until a statement with this text runs in the database. */
const untilRunning = (of: typeof database, text: string): Promise<void> => {
  const running = () =>
    of.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE $1 AND query NOT LIKE '%activity%'`,
      [`%${text}%`],
    );
  return expect.poll(running, { timeout: 30_000, interval: 20 }).toHaveLength(1);
};

test('of five processes that migrate an empty database at once, one does, and all end well', async () => {
  const runs = await Promise.all(
    five.map(() => runTreadle(['migrate', 'up', '--json'], { env: { DATABASE_URL: empty.url } })),
  );
  expect(runs.map(({ exitCode, stderr }) => [exitCode, stderr])).toEqual(five.map(() => [0, '']));
  const applied = runs.map(({ stdout }) => (JSON.parse(stdout) as { applied: string[] }).applied);
  const files = (await readMigrationFiles()).map(({ name }) => name);
  expect(applied.flat().toSorted()).toEqual([...files, 'bullmq', 'pgboss'].toSorted());
});

test('a process killed in the middle of a migration leaves none of it, and the next one goes on', async () => {
  const write = (name: string, up: string) =>
    fs.writeFile(path.join(folder, `${name}.sql`), `-- Up Migration\n${up}\n-- Down Migration\nSELECT 1;\n`);
  await empty.query(
    'DROP SCHEMA IF EXISTS treadle CASCADE; CREATE TABLE public.held (); INSERT INTO public.held DEFAULT VALUES',
  );
  await write('001_one', 'CREATE TABLE public.one (id int);');
  await write(
    '002_two',
    'CREATE TABLE public.two (id int); SELECT pg_sleep(600) FROM public.held; CREATE TABLE public.three (id int);',
  );
  const args = [empty.url, folder];
  const killed = new RunningProcess('migrate-folder.ts', { args });
  await untilRunning(empty, 'SELECT pg_sleep(600) FROM public.held');
  expect(await killed.end('SIGKILL')).toBe(-1);
  const made = () => empty.query(`SELECT relname FROM pg_class WHERE relname IN ('one', 'two', 'three') ORDER BY 1`);
  expect(await made()).toEqual([{ relname: 'one' }]);
  await empty.query('DELETE FROM public.held');
  const next = new RunningProcess('migrate-folder.ts', { args });
  expect(await next.line()).toBe('["002_two"]');
  expect(await next.ended()).toBe(0);
  expect(await made()).toHaveLength(3);
});

test('of five processes that run a data migration at once, each batch is run by one', async () => {
  await makeItems(database.postgres, 500);
  const runs = await Promise.all(five.map(() => runTreadle(['migrate', 'data', 'up', '--json'], { env: env() })));
  expect(runs.map(({ exitCode, stderr }) => [exitCode, stderr])).toEqual(five.map(() => [0, '']));
  const ends = runs.map(
    ({ stdout }) => (JSON.parse(stdout) as { migrations: { byThisRun: number; state: string }[] }).migrations[0],
  );
  expect(ends.map((end) => end?.state)).toEqual(five.map(() => 'validated'));
  expect(ends.reduce((sum, end) => sum + (end?.byThisRun ?? 0), 0)).toBe(500);
  expect(await factors(database.postgres)).toEqual({ 2: 500 });
});

test('a data migration killed in the middle of a batch goes on with it, and nothing happens twice', async () => {
  await makeItems(database.postgres, 500);
  await database.query('TRUNCATE treadle.data_migrations CASCADE');
  const killed = startTreadle(['migrate', 'data', 'up'], { env: { ...env(), TEST_HOLD_AT: '200' } });
  await untilRunning(database, 'holding on');
  killed.process.kill('SIGKILL');
  expect((await killed.ended).signal).toBe('SIGKILL');
  expect(await factors(database.postgres)).toEqual({ 1: 300, 2: 200 });
  const next = await runTreadle(['migrate', 'data', 'up', '--json'], { env: env() });
  expect(JSON.parse(next.stdout)).toEqual({
    migrations: [{ name: 'double-values', state: 'validated', changed: 500, byThisRun: 300 }],
  });
  expect(await factors(database.postgres)).toEqual({ 2: 500 });
});
