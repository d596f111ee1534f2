import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { backUp } from '../../../src/lib/backup/back-up.ts';
import { findPgDump } from '../../../src/lib/backup/find-pg-dump.ts';
import { seed } from '../../../src/domain/seed/seed.ts';
import type { AppError } from '../../../src/lib/errors/app-error.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { checkSchema } from '../../../src/queues/migrations/migrate-all.ts';
import { useDatabase } from '../../services/database.ts';
import { standInPgDump, type StandIn } from './stand-in-pg-dump.ts';

const database = useDatabase();
const empty = useDatabase({ schema: 'empty' });
const signal = new AbortController().signal;
const realPath = process.env['PATH'];
let folder = '';
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-backup-'));
});
afterEach(() => {
  process.env['PATH'] = realPath;
});
afterAll(() => fs.rm(folder, { recursive: true }));

const parts = { schemas: ['treadle', 'bullmq', 'pgboss', 'nobodys'], extensions: ['unaccent', 'nothing_like_it'] };
const backUpTo = (target: string, directUrl = database.url) => backUp({ directUrl, target, signal, ...parts });

const onPath = async (version: string, fails?: string): Promise<StandIn> => {
  const standIn = await standInPgDump(version, fails);
  onTestFinished(() => standIn.remove());
  process.env['PATH'] = standIn.folder;
  return standIn;
};

describe('a backup', () => {
  it('is written by pg_dump in its custom format, with the schemas that are there, and the password in no argument', async () => {
    const standIn = await onPath('999.1');
    const url = new URL(database.url);
    // A server that trusts the connection takes any password.
    if (url.password === '') url.password = 'hunter2';
    const file = await backUpTo(path.join(folder, 'one.dump'), url.href);
    expect(await fs.readFile(file ?? '', 'utf8')).toBe('a dump');
    expect((await fs.stat(file ?? '')).mode & 0o777).toBe(0o600);
    const { args, env } = await standIn.calls();
    expect(args).toEqual([
      '--format=custom',
      '--no-password',
      '--schema=bullmq',
      '--schema=pgboss',
      '--schema=treadle',
      ...((await database.query(`SELECT FROM pg_extension WHERE extname = 'unaccent'`)).length > 0
        ? ['--extension=unaccent']
        : []),
    ]);
    expect(env).toMatchObject({ PGDATABASE: url.pathname.slice(1), PGPASSWORD: decodeURIComponent(url.password) });
    expect(args.join(' ')).not.toContain(decodeURIComponent(url.password));
  });

  it('gets a name by the time in a folder, and never takes the place of another file', async () => {
    await onPath('999.1');
    const file = await backUpTo(folder);
    expect(file).toMatch(/\/treadle-\d{8}T\d{6}Z\.dump$/);
    await expect(backUpTo(file ?? '')).rejects.toMatchObject({ code: 'VALIDATION_ERROR', message: /exists already/ });
    await expect(backUpTo(path.join(folder, 'no-folder', 'x'))).rejects.toThrow('cannot be written (ENOENT)');
  });

  it('that fails leaves no file, and says what pg_dump said', async () => {
    await onPath('999.1', 'pg_dump: error: no space');
    const file = path.join(folder, 'failed.dump');
    await expect(backUpTo(file)).rejects.toMatchObject({
      code: 'EXTERNAL_SERVICE_ERROR',
      message: 'the backup failed, and nothing was changed: pg_dump: error: no space',
    });
    expect((await fs.readdir(folder)).filter((name) => name.startsWith('failed'))).toEqual([]);
  });

  it('is none where there is nothing yet', async () => {
    expect(await backUpTo(path.join(folder, 'nothing.dump'), empty.url)).toBeUndefined();
  });

  it('by a pg_dump that is older than the server is refused, naming the version that is missing', async () => {
    await onPath('9.6.24');
    await expect(findPgDump(998)).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringMatching(/^the server is Postgres 998, .*pg_dump on PATH is 9.*postgresql-client-998/),
    });
    process.env['PATH'] = folder;
    await expect(findPgDump(998)).rejects.toThrow('needs pg_dump 998 or newer');
  });
});

it('restored into an empty database it is a Treadle again; where no pg_dump fits the server, that is said', async () => {
  const { workspace } = await seed({ postgres: database.postgres, log: createLog({ level: 'silent' }) });
  const [server] = await database.query<{ major: number }>(
    `SELECT current_setting('server_version_num')::int / 10000 AS major`,
  );
  const program = await findPgDump(server?.major ?? 0).catch(() => undefined);
  const target = path.join(folder, 'real.dump');
  const extensions = ['pg_trgm', 'unaccent', 'vector'];
  const written = backUp({ directUrl: database.url, target, signal, ...parts, extensions });
  const restored = async (file: string | undefined): Promise<unknown> => {
    const restore = path.join(path.dirname(program ?? ''), 'pg_restore');
    await promisify(execFile)(restore, ['--exit-on-error', '--no-owner', `--dbname=${empty.url}`, file ?? '']);
    await checkSchema(empty.url);
    return empty.query('SELECT id, name FROM treadle.workspaces');
  };
  const outcome = await written.then(restored, (error: AppError) => error.code);
  expect(outcome).toEqual(program === undefined ? 'SERVICE_UNAVAILABLE' : [{ id: workspace.id, name: 'system' }]);
});
