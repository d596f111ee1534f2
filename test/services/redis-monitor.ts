import { Redis } from 'ioredis';

/** One command as a server ran it, those inside of scripts too. */
export type SeenCommand = readonly string[];

/** Commands that take as long as what is stored is large, whatever their arguments are. */
const unbounded = new Set(['keys', 'smembers', 'hgetall', 'hkeys', 'hvals', 'sort', 'flushall', 'flushdb']);
/** Those that answer a range of members, of which the arguments must say how many at most. */
const byRank = new Set(['lrange', 'zrange', 'zrevrange']);
const byScore = new Set(['zrangebyscore', 'zrevrangebyscore', 'zrangebylex', 'zrevrangebylex']);
const streams = new Set(['xrange', 'xrevrange']);

const hasWord = (args: readonly string[], word: string): boolean => args.some((arg) => arg.toLowerCase() === word);

const isUnbounded = ([name = '', ...args]: SeenCommand): boolean => {
  const command = name.toLowerCase();
  if (unbounded.has(command)) return true;
  if (command === 'zrange' && (hasWord(args, 'byscore') || hasWord(args, 'bylex'))) return !hasWord(args, 'limit');
  if (byRank.has(command)) return Number(args[2]) < 0;
  if (byScore.has(command)) return !hasWord(args, 'limit');
  return streams.has(command) && !hasWord(args, 'count');
};

const keysOf = async (client: Redis): Promise<readonly string[]> => {
  const keys: string[] = [];
  for (let cursor = '0'; ;) {
    const [next, page] = await client.scan(cursor, 'COUNT', 1_000);
    keys.push(...page);
    if (next === '0') return keys;
    cursor = next;
  }
};

const starts = 20;

/** A command that is run in the moment in which MONITOR begins is taken for an answer by ioredis, which then gives up. */
const startMonitor = async (client: Redis): Promise<Redis> => {
  for (let left = starts; ; left -= 1) {
    const monitor = client.duplicate({ monitor: true, lazyConnect: false });
    try {
      await new Promise<void>((resolve, reject) => {
        monitor.once('error', reject);
        monitor.once('monitoring', () => resolve());
      });
      return monitor;
    } catch (error) {
      monitor.disconnect();
      if (left === 0) throw error;
    }
  }
};

/**
 * Sees every command that the servers run, with MONITOR, as the user of their addresses. Start it before what it is to see,
 * and {@link stop} it in the block.
 */
export class RedisMonitor {
  readonly #clients: readonly Redis[];
  readonly #monitors: readonly Redis[];
  readonly #seen: SeenCommand[] = [];

  private constructor(clients: readonly Redis[], monitors: readonly Redis[]) {
    this.#clients = clients;
    this.#monitors = monitors;
    for (const monitor of monitors)
      monitor.on('monitor', (_time: string, args: readonly string[]) => void this.#seen.push(args));
  }

  /** `urls`: of every node of a Cluster. */
  static async start(urls: readonly string[]): Promise<RedisMonitor> {
    const clients = urls.map((url) => new Redis(url, { maxRetriesPerRequest: 1 }));
    return new RedisMonitor(clients, await Promise.all(clients.map(startMonitor)));
  }

  /** What has been run so far; a moment is given to what is on its way. */
  async seen(): Promise<readonly SeenCommand[]> {
    for (const [index, client] of this.#clients.entries()) {
      const mark = `monitor-${index}-${Math.random()}`;
      await client.echo(mark);
      for (const deadline = Date.now() + 5_000; !this.#seen.some((args) => args.includes(mark));) {
        if (Date.now() > deadline) throw new Error('MONITOR does not show what a server runs');
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    return this.#seen;
  }

  /** KEYS, and whatever else takes as long as much is stored: `smembers`, `hgetall`, ranges without a limit. */
  async unboundedCommands(): Promise<readonly string[]> {
    return (await this.seen()).filter(isUnbounded).map((args) => args.join(' '));
  }

  /** Keys that stay for good, of those that begin with `prefix`. */
  async keysWithoutExpiry(prefix = '{treadle:'): Promise<readonly string[]> {
    const found: string[] = [];
    for (const client of this.#clients)
      for (const key of await keysOf(client))
        if (key.startsWith(prefix) && (await client.pttl(key)) === -1) found.push(key);
    return found;
  }

  /** Keys that are there now. */
  async keys(): Promise<readonly string[]> {
    return (await Promise.all(this.#clients.map(keysOf))).flat();
  }

  stop(): void {
    for (const client of [...this.#clients, ...this.#monitors]) client.disconnect();
  }
}
