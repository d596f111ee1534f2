import { validationError } from '../errors/app-error.ts';
import { askRedis } from '../redis/ask-redis.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import { runScript } from '../redis/redis-script.ts';
import type { Counters } from './counters.ts';
import type { RedisNames } from './redis-names.ts';
import { addMembers, addToCounter } from './redis-scripts.ts';

const atOnce = 500;

/** Counters lie where entries do, so that reading one is reading an entry. */
export class RedisCounters implements Counters {
  readonly #connection: RedisConnection;
  readonly #names: RedisNames;

  constructor({ connection, names }: { readonly connection: RedisConnection; readonly names: RedisNames }) {
    this.#connection = connection;
    this.#names = names;
  }

  async increment(key: string, by: number, ttlMs: number): Promise<number> {
    const answer: unknown = await askRedis(this.#connection, (client) =>
      runScript(client, addToCounter, this.#names.pair(key), [by, ttlMs]),
    );
    const [counted, sum]: readonly unknown[] = Array.isArray(answer) ? answer : [];
    if (counted !== 1) throw validationError('the cache', [{ path: 'key', message: 'holds no counter' }]);
    return Number(sum);
  }

  /** Entries are read already. */
  read(): Promise<ReadonlyMap<string, number>> {
    return Promise.resolve(new Map());
  }

  async addToSet(key: string, members: readonly string[], ttlMs: number): Promise<number> {
    let added = 0;
    for (let from = 0; from < members.length; from += atOnce) {
      const args = [ttlMs, ...members.slice(from, from + atOnce)];
      added += Number(
        await askRedis(this.#connection, (client) => runScript(client, addMembers, [this.#names.set(key)], args)),
      );
    }
    return added;
  }

  async getSet(key: string, limit: number): Promise<readonly string[]> {
    const members = new Set<string>();
    for (let cursor = '0'; ;) {
      const from = cursor;
      const [next, found] = await askRedis(this.#connection, (client) =>
        client.sscan(this.#names.set(key), from, 'COUNT', atOnce),
      );
      for (const member of found) members.add(member);
      if (next === '0' || members.size >= limit) return [...members].slice(0, limit);
      cursor = next;
    }
  }

  /** They go with the entries. */
  remove(): Promise<boolean> {
    return Promise.resolve(true);
  }

  clear(): Promise<boolean> {
    return Promise.resolve(true);
  }
}
