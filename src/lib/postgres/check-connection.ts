import { AppError } from '../errors/app-error.ts';
import { codeOf, isConnectionError } from '../errors/classify.ts';
import { connectDirect } from './pool.ts';
import { withSettings } from './url-settings.ts';

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

/** Its place among a server's settings; nobody else's. */
const probe = 'treadle.direct';

/** pgbouncer refuses settings at the start of a connection so, or it is told to lose them. */
const protocolViolation = '08P01';

const pooled = (variable: string, host: string, cause?: unknown): AppError =>
  badConfiguration(
    variable,
    host,
    variable === 'DATABASE_URL'
      ? 'a pooler such as pgbouncer answers there: set DATABASE_DIRECT_URL to the server itself, for LISTEN, locks and queues'
      : 'a pooler such as pgbouncer answers there: it must be the server itself',
    cause,
  );

interface Told {
  readonly version: string;
  readonly direct: string | null;
  readonly follows: boolean;
  /** Identifies the server's data and those of its replicas; null where the user may not know it. */
  readonly system: string | null;
}

const ask = async (url: string): Promise<Told> => {
  const client = await connectDirect(url, 'treadle:check');
  try {
    const { rows } = await client.query<Omit<Told, 'system'>>(
      `SELECT current_setting('server_version_num') AS version, current_setting('${probe}', true) AS direct,
         pg_is_in_recovery() AS follows`,
    );
    const identified = await client
      .query<{ system: string }>('SELECT system_identifier::text AS system FROM pg_control_system()')
      .catch(() => undefined);
    const [row] = rows;
    if (!row) throw new Error('SELECT answered no row');
    return { ...row, system: identified?.rows[0]?.system ?? null };
  } finally {
    await client.end();
  }
};

const askOf = async (variable: string, url: string, direct: boolean): Promise<Told> => {
  const host = new URL(url).host || 'localhost';
  let told: Told;
  try {
    told = await ask(direct ? withSettings(url, { [probe]: 'yes' }) : url);
  } catch (error) {
    throw direct && codeOf(error) === protocolViolation
      ? pooled(variable, host, error)
      : explain(variable, host, error);
  }
  const major = Math.floor(Number(told.version) / 10_000);
  if (major < oldestMajor) {
    throw badConfiguration(variable, host, `the server is Postgres ${major}; Treadle needs ${oldestMajor} or newer`);
  }
  if (direct && told.direct !== 'yes') throw pooled(variable, host);
  return told;
};

/**
 * Connects once and looks at the server's version, and for `direct` whether a pooler stands before it.
 * @throws AppError CONFIGURATION_ERROR (host, password, database, version, pooler) or DB_CONNECTION_ERROR (nobody
 * answers), naming the variable and the host, never the password.
 */
export const checkConnection = async (
  variable: string,
  url: string,
  { direct = false }: { readonly direct?: boolean } = {},
): Promise<void> => {
  await askOf(variable, url, direct);
};

/**
 * Looks whether the servers at `replicaUrls` follow the one at `url`.
 * @throws AppError as {@link checkConnection}, of DATABASE_REPLICA_URL; CONFIGURATION_ERROR for one that follows nobody, or another.
 */
export const checkReplicas = async (replicaUrls: readonly string[], url: string): Promise<void> => {
  const variable = 'DATABASE_REPLICA_URL';
  const primary = await askOf('DATABASE_URL', url, false);
  for (const replicaUrl of replicaUrls) {
    const { follows, system } = await askOf(variable, replicaUrl, false);
    const { host } = new URL(replicaUrl);
    if (!follows) throw badConfiguration(variable, host, 'the server is no replica: it follows no other');
    if (system !== null && primary.system !== null && system !== primary.system)
      throw badConfiguration(variable, host, 'the server follows another than that of DATABASE_URL');
  }
};
