import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type pg from 'pg';
import { programEnvironment } from '../config/program-environment.ts';
import { AppError, validationError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import { connectDirect } from '../postgres/pool.ts';
import { findPgDump } from './find-pg-dump.ts';

export interface BackupOptions {
  readonly directUrl: string;
  /** A file that does not exist yet, or a folder, in which it is given a name by the time. */
  readonly target: string;
  readonly schemas: readonly string[];
  /** Those that are installed are put into the backup too. */
  readonly extensions: readonly string[];
  readonly signal: AbortSignal;
}

/** libpq knows no `no-verify`, which is what it understands by `require`. */
const sslSettings = (url: string): Readonly<Record<string, string>> => {
  const given = new URL(url).searchParams;
  const mode = given.get('sslmode') ?? (given.get('ssl') === 'true' ? 'require' : undefined);
  const entries = [
    ['PGSSLMODE', mode === 'no-verify' ? 'require' : mode],
    ['PGSSLROOTCERT', given.get('sslrootcert')],
    ['PGSSLCERT', given.get('sslcert')],
    ['PGSSLKEY', given.get('sslkey')],
  ] as const;
  return Object.fromEntries(entries.flatMap(([name, value]) => (value ? [[name, value]] : [])));
};

/** How pg_dump gets to the same database. Other users of the machine can read a command line, and not this. */
const connectionSettings = (client: pg.Client, url: string): Readonly<Record<string, string>> => ({
  PGHOST: client.host,
  PGPORT: String(client.port),
  ...(client.user === undefined ? {} : { PGUSER: client.user }),
  ...(client.database === undefined ? {} : { PGDATABASE: client.database }),
  ...(typeof client.password === 'string' ? { PGPASSWORD: client.password } : {}),
  PGAPPNAME: 'treadle:backup',
  ...sslSettings(url),
});

interface Source {
  readonly major: number;
  readonly schemas: readonly string[];
  readonly extensions: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const examine = async ({ directUrl, schemas, extensions }: BackupOptions): Promise<Source> => {
  const client = await connectDirect(directUrl, 'treadle:backup');
  try {
    const { rows } = await client.query<{ major: number; schemas: string[]; extensions: string[] }>(
      `SELECT current_setting('server_version_num')::integer / 10000 AS major,
         ARRAY(SELECT nspname::text FROM pg_namespace WHERE nspname = ANY ($1) ORDER BY 1) AS schemas,
         ARRAY(SELECT extname::text FROM pg_extension WHERE extname = ANY ($2) ORDER BY 1) AS extensions`,
      [schemas, extensions],
    );
    const environment = connectionSettings(client, directUrl);
    return { major: 0, schemas: [], extensions: [], ...rows[0], environment };
  } finally {
    await client.end();
  }
};

const fileFor = async (target: string): Promise<string> => {
  const found = await fs.stat(target).catch(() => undefined);
  if (found?.isDirectory() === true) {
    const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
    return path.join(target, `treadle-${stamp}.dump`);
  }
  if (!found) return target;
  throw validationError('the backup', [{ path: target, message: 'exists already: name a new file, or a folder' }]);
};

const lastLines = (output: string): string => output.trim().split('\n').slice(-3).join('; ');

const dump = async (program: string, source: Source, file: fs.FileHandle, signal: AbortSignal): Promise<void> => {
  const args = [
    '--format=custom',
    '--no-password',
    ...source.schemas.map((schema) => `--schema=${schema}`),
    ...source.extensions.map((extension) => `--extension=${extension}`),
  ];
  const child = spawn(program, args, {
    env: programEnvironment(source.environment),
    stdio: ['ignore', file.fd, 'pipe'],
    signal,
  });
  const said = child.stderr ? text(child.stderr) : '';
  const [code] = await once(child, 'close');
  if (code !== 0)
    throw new AppError(
      'EXTERNAL_SERVICE_ERROR',
      `the backup failed, and nothing was changed: ${lastLines(await said)}`,
      {
        service: 'pg_dump',
      },
    );
};

const open = async (partial: string): Promise<fs.FileHandle> => {
  try {
    return await fs.open(partial, 'wx', 0o600);
  } catch (error) {
    const why =
      codeOf(error) === 'EEXIST' ? 'exists: another backup is being written, or was killed' : 'cannot be written';
    throw validationError('the backup', [{ path: partial, message: `${why} (${codeOf(error)})` }]);
  }
};

/**
 * Writes the given schemas into a file that pg_restore reads (custom format), readable by its owner only, and answers its
 * name; undefined where the database has none of them. The file has its name only once it is complete.
 * @throws AppError SERVICE_UNAVAILABLE where no pg_dump fits the server; VALIDATION_ERROR for a file that exists or cannot
 * be written; EXTERNAL_SERVICE_ERROR with what pg_dump said.
 */
export const backUp = async (options: BackupOptions): Promise<string | undefined> => {
  const source = await examine(options);
  if (source.schemas.length === 0) return undefined;
  const program = await findPgDump(source.major);
  const file = await fileFor(options.target);
  const partial = `${file}.partial`;
  const handle = await open(partial);
  try {
    await dump(program, source, handle, options.signal);
    await handle.sync();
    await handle.close();
    await fs.rename(partial, file);
    return file;
  } catch (error) {
    await handle.close();
    await fs.rm(partial, { force: true });
    throw error;
  }
};
