import type { Cluster, Redis } from 'ioredis';
import type { RedisClient } from '../redis/connect-redis.ts';
import { runScript } from '../redis/redis-script.ts';
import { fromRedisText } from './cache-text.ts';
import type { KeyPattern } from './key-pattern.ts';
import type { RedisGate } from './redis-gate.ts';
import type { RedisNames } from './redis-names.ts';
import { untagEntries } from './redis-scripts.ts';

const atOnce = 500;
const patient = { patient: true } as const;

const isCluster = (client: RedisClient): client is Cluster => 'nodes' in client;

/** Takes entries out of Redis, with what is computed of them. Each answers false where, for all that is known, some may be left. */
export class RedisRemoval {
  readonly #gate: RedisGate;
  readonly #names: RedisNames;

  constructor({ gate, names }: { readonly gate: RedisGate; readonly names: RedisNames }) {
    this.#gate = gate;
    this.#names = names;
  }

  async keys(keys: readonly string[]): Promise<boolean> {
    for (let from = 0; from < keys.length; from += atOnce) {
      const part = keys.slice(from, from + atOnce);
      const asked = await this.#gate.ask((client) => this.#unlink(client, part), patient);
      if (!asked.ok) return false;
    }
    return true;
  }

  /** All entries that carry the tag. */
  async tagged(tag: string): Promise<boolean> {
    const name = this.#names.tag(tag);
    for (let cursor = '0'; ;) {
      const scanned = await this.#gate.ask((client) => client.zscan(name, cursor, 'COUNT', atOnce), patient);
      if (!scanned.ok) return false;
      const [next, found] = scanned.value;
      for (let from = 0; from < found.length; from += 2 * atOnce) {
        const part = found.slice(from, from + 2 * atOnce);
        const entries = part.filter((_, index) => index % 2 === 0).map(fromRedisText);
        if (!(await this.keys(entries))) return false;
        // Only now: whoever crashes before has them found again.
        const untagged = await this.#gate.ask((client) => runScript(client, untagEntries, [name], part), patient);
        if (!untagged.ok) return false;
      }
      if (next === '0') return true;
      cursor = next;
    }
  }

  /** All entries whose keys match. @throws as the matcher does. */
  matching({ prefix, matching }: KeyPattern): Promise<boolean> {
    return this.#scan(this.#names.globOfKeys(prefix), (names) => {
      const keys = new Set(names.map((name) => this.#names.keyIn(name)).filter((key) => key !== undefined));
      return this.keys(matching([...keys]));
    });
  }

  /** Everything there is: entries, tags, counters and sets. */
  all(): Promise<boolean> {
    return this.#scan(this.#names.globOfAll(), async (names) => {
      const unlinked = await this.#gate.ask((client) => Promise.all(names.map((name) => client.unlink(name))), patient);
      return unlinked.ok;
    });
  }

  /** Goes through the names that match on every server. */
  async #scan(glob: string, each: (names: readonly string[]) => Promise<boolean>): Promise<boolean> {
    const nodes = await this.#gate.ask(
      (client): Promise<readonly Redis[]> => Promise.resolve(isCluster(client) ? client.nodes('master') : [client]),
      patient,
    );
    if (!nodes.ok || nodes.value.length === 0) return false;
    for (const node of nodes.value) {
      for (let cursor = '0'; ;) {
        const scanned = await this.#gate.ask(() => node.scan(cursor, 'MATCH', glob, 'COUNT', 2 * atOnce), patient);
        if (!scanned.ok || !(await each(scanned.value[1]))) return false;
        cursor = scanned.value[0];
        if (cursor === '0') break;
      }
    }
    return true;
  }

  /** One command an entry: on a Cluster each lies somewhere else. */
  #unlink(client: RedisClient, keys: readonly string[]): Promise<unknown> {
    return Promise.all(keys.map((key) => client.unlink(...this.#names.all(key))));
  }
}
