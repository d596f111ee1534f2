import { AppError } from '../errors/app-error.ts';
import { codeOf, isConnectionError } from '../errors/classify.ts';
import { connectDirect } from './pool.ts';

/** The oldest server that Treadle works with. */
const oldestMajor = 15;

const badConfiguration = (variable: string, host: string, problem: string, cause?: unknown): AppError =>
  new AppError(
    'CONFIGURATION_ERROR',
    `${variable} (${host}): ${problem}`,
    { faults: [{ variable, message: problem }] },
    { cause },
  );

/** What the user can put right, by the code of the refusal. */
const problems: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such host',
  '28P01': 'the server refuses the user name or password',
  '28000': 'the server refuses this user from here (pg_hba.conf, or TLS is asked for)',
  '3D000': 'the server has no such database',
  '42501': 'the user may not connect to this database',
};

const explain = (variable: string, host: string, error: unknown): AppError => {
  const code = codeOf(error) ?? (error instanceof AggregateError ? codeOf(error.errors[0]) : undefined);
  const problem = problems[code ?? ''];
  if (problem !== undefined) return badConfiguration(variable, host, problem, error);
  // The driver refuses a missing password, or a server without TLS, with an Error that has no code.
  if (code === undefined && error instanceof Error && !isConnectionError(error)) {
    return badConfiguration(variable, host, `the connection fails: ${error.message}`, error);
  }
  const reason =
    code === 'ECONNREFUSED' ? 'nothing listens there' : `the server does not answer (${code ?? 'time-out'})`;
  return new AppError(
    'DB_CONNECTION_ERROR',
    `${variable} (${host}): ${reason}`,
    { host, ...(code === undefined ? {} : { sqlState: code }) },
    { cause: error },
  );
};

/**
 * Connects once and looks at the server's version.
 * @throws AppError CONFIGURATION_ERROR (host, password, database, version) or DB_CONNECTION_ERROR (nobody answers),
 * naming the variable and the host, never the password.
 */
export const checkConnection = async (variable: string, url: string): Promise<void> => {
  const host = new URL(url).host || 'localhost';
  let version: number;
  try {
    const client = await connectDirect(url, 'treadle:check');
    try {
      const { rows } = await client.query<{ version: string }>(
        `SELECT current_setting('server_version_num') AS version`,
      );
      version = Math.floor(Number(rows[0]?.version) / 10_000);
    } finally {
      await client.end();
    }
  } catch (error) {
    throw explain(variable, host, error);
  }
  if (version < oldestMajor) {
    throw badConfiguration(variable, host, `the server is Postgres ${version}; Treadle needs ${oldestMajor} or newer`);
  }
};
