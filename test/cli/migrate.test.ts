import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { standInPgDump } from '../lib/backup/stand-in-pg-dump.ts';
import { readProjectFile } from '../project/read-project-file.ts';
import { useDatabase } from '../services/database.ts';
import { useCommandLine } from './use-command-line.ts';

const database = useDatabase();
const commandLine = useCommandLine();
const empty = useDatabase({ schema: 'empty' });
let folder = '';
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-cli-migrate-'));
});
afterAll(() => fs.rm(folder, { recursive: true }));

const treadle = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  commandLine(args, { DATABASE_URL: database.url, ...env });

describe('treadle migrate up', () => {
  it('--dry-run shows what would be applied, and changes nothing', async () => {
    const { exitCode, stdout } = await treadle(['migrate', 'up', '--dry-run'], { DATABASE_URL: empty.url });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^This would be applied:\n001_foundation: passes\n[\s\S]*bullmq: not tried, /);
    expect(await empty.query(`SELECT FROM pg_namespace WHERE nspname = 'treadle'`)).toEqual([]);
  });

  it('--backup writes a file before it applies anything; without a pg_dump that fits it applies nothing', async () => {
    const applied = () => database.query('SELECT name FROM treadle.migrations ORDER BY 1');
    const all = await applied();
    expect(await treadle(['migrate', 'down'])).toMatchObject({ exitCode: 0 });
    const failing = await standInPgDump('999.1', 'pg_dump: error: connection refused');
    const failed = await treadle(['migrate', 'up', '--backup', folder], { PATH: failing.folder });
    await failing.remove();
    expect(failed).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('nothing was changed: pg_dump: error'),
    });
    expect(await applied()).toEqual(all.slice(0, -1));

    const standIn = await standInPgDump('999.1');
    const file = path.join(folder, 'before.dump');
    const { stdout, exitCode } = await treadle(['migrate', 'up', '--backup', file], { PATH: standIn.folder });
    expect([exitCode, stdout]).toEqual([
      0,
      expect.stringMatching(/^Applied \w+\. What was there before is in .*before\.dump\.\n$/),
    ]);
    expect(await fs.readFile(file, 'utf8')).toBe('a dump');
    expect(await applied()).toEqual(all);
    const again = await treadle(['migrate', 'up', '--backup', file, '--json'], { PATH: standIn.folder });
    await standIn.remove();
    expect(JSON.parse(again.stdout)).toEqual({ applied: [], backup: null });
  });
});

describe('treadle migrate check', () => {
  it('names file, line and the better way, and ends with exit code 1', async () => {
    const good = path.join(folder, 'good.sql');
    const bad = path.join(folder, 'bad.sql');
    await fs.writeFile(good, 'ALTER TABLE public.orders ADD COLUMN note text;');
    await fs.writeFile(bad, '\nCREATE INDEX ON public.orders (note);');
    expect(await treadle(['migrate', 'check', good, bad])).toMatchObject({
      exitCode: 0,
      stdout: 'Nothing here locks a large table.\n',
    });
    const { exitCode, stdout } = await commandLine(['migrate', 'check', '--offline', good, bad]);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(
      /^\S*bad\.sql:2 public\.orders: the index is built .*Better: CREATE INDEX CONCURRENTLY.*\n.*-- Safe: <reason>\n$/,
    );
    expect(await treadle(['migrate', 'check', 'nowhere.sql'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('nowhere.sql: cannot be read (ENOENT)'),
    });
  });
});

describe('treadle migrate data', () => {
  it('does what the page about migrations shows', async () => {
    const page = await readProjectFile('docs/migrations.md');
    const source = new URL('../../src/treadle.ts', import.meta.url).href;
    const blocks = [...page.matchAll(/^```ts\n\/\/ ([\w-]+\.ts).*\n([\s\S]*?)^```$/gm)];
    expect(blocks.map(([, name]) => name)).toEqual(['lower-case-emails.ts', 'jobs.ts']);
    for (const [, name = '', text = ''] of blocks)
      await fs.writeFile(path.join(folder, name), text.replace(`'treadle'`, `'${source}'`));
    const sql = /-c "(CREATE TABLE public\.customers [^"]*)"/.exec(page)?.[1] ?? '';
    await database.query(sql);
    const env = { TREADLE_JOBS: path.join(folder, 'jobs.ts') };
    const emails = () =>
      database.query<{ email: string }>('SELECT email FROM public.customers WHERE id IN (7, 8) ORDER BY id');

    expect((await treadle(['migrate', 'data', 'up', '--dry-run'], env)).stdout).toBe(
      '2026-03-lower-case-emails is pending, 5000 left; the next batch passes, with 1000 changes.\n',
    );
    expect(await emails()).toEqual([{ email: 'Customer7@Example.org' }, { email: 'Customer8@Example.org' }]);
    expect((await treadle(['migrate', 'data', 'up'], env)).stdout).toBe(
      '2026-03-lower-case-emails is validated: 5000 changes, 5000 of them now.\n',
    );
    expect(await emails()).toEqual([{ email: 'customer7@example.org' }, { email: 'customer8@example.org' }]);
    const status = await treadle(['migrate', 'data', 'status', '--json'], env);
    expect(JSON.parse(status.stdout)).toMatchObject({
      items: [{ name: '2026-03-lower-case-emails', state: 'validated', changed: 5_000, error: null }],
    });
    await database.query(`UPDATE public.customers SET email = 'new@example.org' WHERE id = 8`);
    expect((await treadle(['migrate', 'data', 'down', '2026-03-lower-case-emails'], env)).stdout).toBe(
      '2026-03-lower-case-emails is undone: 4999 changes were put back now.\n',
    );
    expect(await emails()).toEqual([{ email: 'Customer7@Example.org' }, { email: 'new@example.org' }]);
  });

  it('refuses names it does not know', async () => {
    expect(await treadle(['migrate', 'data', 'down', 'nothing'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('data migration "nothing" does not exist'),
    });
  });
});
