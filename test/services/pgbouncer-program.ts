import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What tests of connection pooling lack where there is no program. */
export const missingPgbouncer =
  'no pgbouncer on the path or in /usr/sbin.\n    apt-get install --no-install-recommends pgbouncer (or: brew install pgbouncer)';

const runs = (program: string): Promise<boolean> =>
  promisify(execFile)(program, ['--version'], { timeout: 5_000 }).then(
    () => true,
    () => false,
  );

/** The pgbouncer of this machine; undefined where there is none. Debian's lies where only root's path leads. */
export const findPgbouncer = async (): Promise<string | undefined> => {
  for (const program of ['pgbouncer', '/usr/sbin/pgbouncer']) if (await runs(program)) return program;
  return undefined;
};
