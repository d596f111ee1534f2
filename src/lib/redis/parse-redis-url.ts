import type { RedisOptions } from 'ioredis';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** What a URL of Redis means to the client library. */
export interface RedisTarget {
  /** `sentinel`: the addresses are those of the sentinels, which know where the master is. */
  readonly kind: 'single' | 'cluster' | 'sentinel';
  /** For people: the addresses, without user and password. */
  readonly hosts: string;
  readonly addresses: readonly Address[];
  /** Whether every connection is encrypted. */
  readonly secure: boolean;
  readonly options: RedisOptions;
}

/** Why a text is no URL of Redis. Its message repeats nothing of the text: there may be a password in it. */
export class RedisUrlFault extends Error {
  override readonly name = 'RedisUrlFault';
}

const refuse = (message: string): never => {
  throw new RedisUrlFault(message);
};

const schemes = 'redis://, rediss:// (TLS), redis+sentinel:// or rediss+sentinel://';
const encoding = 'in a user name or password, characters such as / , @ : # ? % are percent-encoded (/ is %2F)';
const sentinelParameters = ['db', 'sentinelUsername', 'sentinelPassword'] as const;

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse(`has a % that encodes nothing: ${encoding}`);
  }
};

const urlOf = (text: string): URL =>
  URL.canParse(text) ? new URL(text) : refuse(`has a host or port that is none: ${encoding}`);

const addressOf = (url: URL, defaultPort: number): Address => {
  if (url.hostname === '') refuse('names no host');
  if (url.port === '0') refuse('names port 0');
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port || defaultPort) };
};

const credentialsOf = (url: URL): RedisOptions => ({
  ...(url.username ? { username: decode(url.username) } : {}),
  ...(url.password ? { password: decode(url.password) } : {}),
});

const databaseOf = (text: string | null): RedisOptions => {
  if (text === null || text === '') return {};
  return /^\d{1,6}$/.test(text) ? { db: Number(text) } : refuse('names a database that is not a number');
};

const describe = (addresses: readonly Address[]): string =>
  addresses.map(({ host, port }) => `${host}:${port}`).join(',');

const parametersOf = (query: string): URLSearchParams => {
  const parameters = new URLSearchParams(query);
  const names = [...parameters.keys()];
  if (names.some((name) => !(sentinelParameters as readonly string[]).includes(name)))
    refuse(`may have the parameters ${sentinelParameters.join(', ')} only`);
  if (new Set(names).size < names.length) refuse('has a parameter twice');
  return parameters;
};

/** The user and password before the hosts are those of Redis itself; the sentinels' own are parameters. */
const parseSentinel = (rest: string, secure: boolean): RedisTarget => {
  const [beforeQuery = '', query = ''] = rest.split('?', 2);
  const slash = beforeQuery.indexOf('/');
  const authority = slash < 0 ? beforeQuery : beforeQuery.slice(0, slash);
  const name = slash < 0 ? '' : beforeQuery.slice(slash + 1);
  if (name === '') refuse('names no master: redis+sentinel://host:port,host:port/<master name>');
  if (name.includes('/')) refuse('has more than a master name behind the hosts: a database is given as ?db=2');
  const at = authority.lastIndexOf('@');
  const addresses = authority
    .slice(at + 1)
    .split(',')
    .map((address) => addressOf(urlOf(`redis://${address.trim()}`), 26_379));
  const parameters = parametersOf(query);
  const sentinelUsername = parameters.get('sentinelUsername');
  const sentinelPassword = parameters.get('sentinelPassword');
  return {
    kind: 'sentinel',
    hosts: describe(addresses),
    addresses,
    secure,
    options: {
      ...credentialsOf(urlOf(`redis://${authority.slice(0, at + 1)}host`)),
      ...databaseOf(parameters.get('db')),
      ...(sentinelUsername ? { sentinelUsername } : {}),
      ...(sentinelPassword ? { sentinelPassword } : {}),
      sentinels: [...addresses],
      name: decode(name),
    },
  };
};

const parseServer = (text: string): URL => {
  if (!/^rediss?:\/\//.test(text)) refuse(`must start with ${schemes}, and so must each of several; ${encoding}`);
  const url = urlOf(text);
  if (url.search !== '') refuse(`may have no ? parameters; ${encoding}`);
  if (url.hash !== '') refuse(`may have no #; ${encoding}`);
  return url;
};

const credentialText = ({ username, password }: URL): string => `${username}:${password}`;

const parseCluster = (urls: readonly URL[], addresses: readonly Address[], first: URL): RedisTarget => {
  if (urls.some((url) => url.protocol !== first.protocol)) refuse('mixes redis:// and rediss:// in one Cluster');
  if (urls.some((url) => !['', '/', '/0'].includes(url.pathname))) refuse('names a database, and a Cluster has only 0');
  if (urls.some((url) => ![':', credentialText(first)].includes(credentialText(url))))
    refuse('names several users or passwords: the nodes of a Cluster share those of the first');
  return {
    kind: 'cluster',
    hosts: describe(addresses),
    addresses,
    secure: first.protocol === 'rediss:',
    options: credentialsOf(first),
  };
};

/**
 * Reads `redis://user:password@host:port/db` and `rediss://` (TLS), several of them separated by commas for a Cluster, or
 * `redis+sentinel://user:password@host:port,host:port/<master name>?db=…&sentinelUsername=…&sentinelPassword=…` and
 * `rediss+sentinel://` (TLS to the sentinels as well).
 * @throws RedisUrlFault saying what is wrong.
 */
export const parseRedisUrl = (text: string): RedisTarget => {
  const sentinel = /^redis(s?)\+sentinel:\/\/(.*)$/s.exec(text.trim());
  if (sentinel) return parseSentinel(sentinel[2] ?? '', sentinel[1] === 's');
  const urls = text.split(',').map((part) => parseServer(part.trim()));
  const addresses = urls.map((url) => addressOf(url, 6_379));
  const [first] = urls;
  const [address] = addresses;
  if (!first || !address) return refuse('is empty');
  if (urls.length > 1) return parseCluster(urls, addresses, first);
  return {
    kind: 'single',
    hosts: describe(addresses),
    addresses,
    secure: first.protocol === 'rediss:',
    options: { ...credentialsOf(first), ...databaseOf(first.pathname.slice(1)), ...address },
  };
};
