import { escapedGlob, fromRedisText, redisGlobOf, toRedisText } from './cache-text.ts';

/** What things of a cache are called in Redis. Everything of one entry has one hash tag. */
export class RedisNames {
  readonly #start: string;

  constructor(prefix: string) {
    this.#start = `{treadle:cache:${toRedisText(prefix)}:`;
  }

  value(key: string): string {
    return `${this.#start}k:${toRedisText(key)}}`;
  }

  /** Its value, and the claim of whoever computes it. */
  pair(key: string): [value: string, claim: string] {
    const value = this.value(key);
    return [value, `${value}:c`];
  }

  set(key: string): string {
    return `${this.value(key)}:s`;
  }

  all(key: string): [string, string, string] {
    const value = this.value(key);
    return [value, `${value}:c`, `${value}:s`];
  }

  tag(tag: string): string {
    return `${this.#start}t:${toRedisText(tag)}}`;
  }

  /** For `SCAN … MATCH`, of entries whose keys begin so. */
  globOfKeys(prefix: string): string {
    return `${escapedGlob(this.#start)}k:${redisGlobOf(prefix)}*`;
  }

  globOfAll(): string {
    return `${escapedGlob(this.#start)}*`;
  }

  /** The key of an entry from any of its names; undefined for what is none. */
  keyIn(name: string): string | undefined {
    const start = `${this.#start}k:`;
    const end = name.indexOf('}');
    return name.startsWith(start) && end > 0 ? fromRedisText(name.slice(start.length, end)) : undefined;
  }
}
