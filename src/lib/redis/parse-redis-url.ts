import type { RedisOptions } from 'ioredis';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** What a URL of Redis means to the client library. */
export type RedisTarget =
  | { readonly kind: 'single'; readonly hosts: string; readonly options: RedisOptions }
  | {
      readonly kind: 'cluster';
      readonly hosts: string;
      readonly nodes: readonly Address[];
      readonly options: RedisOptions;
    }
  | { readonly kind: 'sentinel'; readonly hosts: string; readonly options: RedisOptions };

const sentinelScheme = 'redis+sentinel://';

const addressOf = (url: URL, defaultPort: number): Address => ({
  host: url.hostname.replace(/^\[(.*)\]$/, '$1') || '127.0.0.1',
  port: Number(url.port || defaultPort),
});

const credentialsOf = (url: URL): RedisOptions => ({
  ...(url.username ? { username: decodeURIComponent(url.username) } : {}),
  ...(url.password ? { password: decodeURIComponent(url.password) } : {}),
});

const describe = (addresses: readonly Address[]): string =>
  addresses.map(({ host, port }) => `${host}:${port}`).join(',');

const numberOf = (text: string | undefined): RedisOptions => (text ? { db: Number(text) } : {});

/** `redis+sentinel://user:password@host:port,host:port/name/db`; the user and password are those of Redis itself. */
const parseSentinel = (text: string): RedisTarget => {
  const rest = text.slice(sentinelScheme.length);
  const slash = rest.indexOf('/');
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  const at = authority.lastIndexOf('@');
  const [name = '', db] = rest.slice(authority.length + 1).split('/');
  const credentials = credentialsOf(new URL(`redis://${authority.slice(0, at + 1)}host`));
  const sentinels = authority
    .slice(at + 1)
    .split(',')
    .map((address) => addressOf(new URL(`redis://${address.trim()}`), 26_379));
  return {
    kind: 'sentinel',
    hosts: describe(sentinels),
    options: { ...credentials, sentinels: [...sentinels], name: decodeURIComponent(name), ...numberOf(db) },
  };
};

/**
 * Reads `redis://` and `rediss://` (TLS), several of them separated by commas for a Cluster, or
 * `redis+sentinel://host:port,host:port/name`. The text has been checked by the configuration.
 */
export const parseRedisUrl = (text: string): RedisTarget => {
  if (text.startsWith(sentinelScheme)) return parseSentinel(text);
  const urls = text.split(',').map((part) => new URL(part.trim()));
  const nodes = urls.map((url) => addressOf(url, 6_379));
  const [first = new URL('redis://127.0.0.1')] = urls;
  const secure: RedisOptions = first.protocol === 'rediss:' ? { tls: {} } : {};
  const options: RedisOptions = { ...credentialsOf(first), ...secure };
  const hosts = describe(nodes);
  if (nodes.length > 1) return { kind: 'cluster', hosts, nodes, options };
  return { kind: 'single', hosts, options: { ...options, ...nodes[0], ...numberOf(first.pathname.slice(1)) } };
};
