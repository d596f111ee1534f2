import { execFile } from 'node:child_process';
import { glob } from 'node:fs/promises';
import { promisify } from 'node:util';
import { AppError } from '../errors/app-error.ts';

/** Where the packages of Linux and macOS put the programs of each version, which need not be on PATH. */
const usualPlaces = [
  '/usr/lib/postgresql/*/bin/pg_dump',
  '/usr/pgsql-*/bin/pg_dump',
  '/{opt/homebrew,usr/local}/opt/{libpq,postgresql@*}/bin/pg_dump',
];

interface FoundProgram {
  readonly program: string;
  readonly major: number;
}

const versionOf = async (program: string): Promise<FoundProgram | undefined> => {
  try {
    const { stdout } = await promisify(execFile)(program, ['--version'], { timeout: 10_000 });
    const major = /\b(\d+)(?:\.\d+|devel|beta|rc)/.exec(stdout)?.[1];
    return major === undefined ? undefined : { program, major: Number(major) };
  } catch {
    return undefined;
  }
};

const inUsualPlaces = async (): Promise<readonly FoundProgram[]> => {
  const found: FoundProgram[] = [];
  for await (const program of glob(usualPlaces)) {
    const version = await versionOf(program);
    if (version) found.push(version);
  }
  return found.toSorted((a, b) => a.major - b.major);
};

/**
 * The pg_dump to use with a server: it refuses servers newer than itself. The one on PATH if it will do, else the oldest
 * that does of those in the usual places.
 * @throws AppError SERVICE_UNAVAILABLE saying which version is missing, and which were found.
 */
export const findPgDump = async (serverMajor: number): Promise<string> => {
  const onPath = await versionOf('pg_dump');
  if (onPath && onPath.major >= serverMajor) return onPath.program;
  const found = await inUsualPlaces();
  const fitting = found.find(({ major }) => major >= serverMajor);
  if (fitting) return fitting.program;
  const all = [...(onPath ? [{ ...onPath, program: 'pg_dump on PATH' }] : []), ...found];
  const versions = all.map(({ program, major }) => `${program} is ${major}`).join(', ');
  throw new AppError(
    'SERVICE_UNAVAILABLE',
    `the server is Postgres ${serverMajor}, and a backup of it needs pg_dump ${serverMajor} or newer: ${versions || 'there is no pg_dump on PATH'}. ` +
      `Install it (Debian and Ubuntu: postgresql-client-${serverMajor}), or back up where it is installed`,
    { service: 'pg_dump' },
    { retryable: false },
  );
};
