import type { Redis, RedisOptions } from 'ioredis';
import { AppError } from '../errors/app-error.ts';
import { codeOf, redisCodeOf } from '../errors/classify.ts';
import type { RedisTarget } from './parse-redis-url.ts';

/** The variable that named the server, for errors. */
export type RedisVariable = 'REDIS_URL' | 'REDIS_CACHE_URL';

const untrusted =
  'its certificate is signed by nobody known: name the file of the authority in REDIS_CA, or in NODE_EXTRA_CA_CERTS';

/** By the code that starts a reply of Redis (`WRONGPASS …`), of TLS, or of the network: what no patience mends. */
const problems: Readonly<Record<string, string>> = {
  NOAUTH: 'the server asks for a password',
  WRONGPASS: 'the server refuses the user name or password',
  ERR: 'the server refuses the connection (a database number it does not have, or a password it does not expect)',
  NOPERM: 'the user may not do what Treadle needs',
  ENOTFOUND: 'there is no such host',
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the server does not speak TLS there',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'the server does not speak TLS there',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'the server asks for a client certificate: REDIS_CERT and REDIS_KEY',
};

const refusal = (variable: RedisVariable, hosts: string, message: string, cause?: unknown): AppError =>
  new AppError(
    'CONFIGURATION_ERROR',
    `${variable} (${hosts}): ${message}`,
    { faults: [{ variable, message }] },
    cause === undefined ? {} : { cause },
  );

/** A CONFIGURATION_ERROR where the error says that the settings are wrong; undefined where it may pass. */
export const refusalOf = (variable: RedisVariable, hosts: string, error: unknown): AppError | undefined => {
  const message = problems[codeOf(error) ?? redisCodeOf(error) ?? ''];
  return message === undefined ? undefined : refusal(variable, hosts, message, error);
};

/** A server that answers and is of another kind than the URL says. */
export const wrongKind = (variable: RedisVariable, hosts: string, message: string): AppError =>
  refusal(variable, hosts, message);

/** Nobody answered in time, as far as is known for this reason. */
const unreachable = (variable: RedisVariable, hosts: string, error: unknown): AppError => {
  const code = codeOf(error) ?? redisCodeOf(error);
  const reason = code === 'ECONNREFUSED' ? 'nothing listens there' : `no answer (${code ?? 'time-out'})`;
  return new AppError(
    'SERVICE_UNAVAILABLE',
    `${variable} (${hosts}): ${reason}`,
    { service: 'redis', endpoint: hosts },
    { cause: error },
  );
};

const probeSentinel = async (client: Redis, { options }: RedisTarget): Promise<string | undefined> => {
  const master = await client.call('SENTINEL', 'get-master-addr-by-name', options.name ?? '');
  return master === null ? `the sentinels know no master ${JSON.stringify(options.name)}` : undefined;
};

const probeNode = async (client: Redis): Promise<string | undefined> => {
  const info = String(await client.call('INFO', 'cluster'));
  if (!info.includes('cluster_enabled:0')) return undefined;
  return 'the server is not a node of a Cluster: name it alone';
};

/**
 * Asks the servers of a Cluster, or the sentinels, one after another why there is no connection. Answers what the first of
 * them says that is wrong with the settings, else that nobody can be reached.
 */
export const explainSilence = async (
  variable: RedisVariable,
  target: RedisTarget,
  options: RedisOptions,
  last: unknown,
): Promise<AppError> => {
  if (target.kind === 'single') return unreachable(variable, target.hosts, last);
  const { Redis } = await import('ioredis');
  const isSentinel = target.kind === 'sentinel';
  const { username, password, sentinelUsername, sentinelPassword, tls, connectTimeout } = options;
  const credentials = isSentinel ? { username: sentinelUsername, password: sentinelPassword } : { username, password };
  let cause = last;
  for (const { host, port } of target.addresses) {
    const client = new Redis({
      host,
      port,
      ...(credentials.username ? { username: credentials.username } : {}),
      ...(credentials.password ? { password: credentials.password } : {}),
      ...(tls ? { tls } : {}),
      ...(connectTimeout ? { connectTimeout } : {}),
      lazyConnect: true,
      retryStrategy: () => null,
    });
    // Commands only say that the connection was closed then.
    const errors: unknown[] = [];
    client.on('error', (error: unknown) => errors.push(error));
    try {
      await client.connect();
      const fault = await (isSentinel ? probeSentinel(client, target) : probeNode(client));
      if (fault !== undefined) return wrongKind(variable, target.hosts, fault);
    } catch (error) {
      cause = errors[0] ?? error;
      const found = refusalOf(variable, `${host}:${port}`, cause);
      if (found) return found;
    } finally {
      client.disconnect();
    }
  }
  return unreachable(variable, target.hosts, cause);
};
