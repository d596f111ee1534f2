import type { RedisClient } from '../../../lib/redis/connect-redis.ts';
import { runScript } from '../../../lib/redis/redis-script.ts';
import { addToIndex, countIndex } from './event-scripts.ts';

export interface IndexEntry {
  readonly score: number;
  readonly member: string;
}

/** A range of scores, both ends without themselves where they are texts such as `(17`. */
export interface ScoreRange {
  readonly from: string | number;
  readonly to: string | number;
}

/** Of one script call. */
const mostEntries = 1_000;

/** Sorted members, each of which is taken out after its time. Both its keys have one hash tag. */
export class EventIndex {
  readonly #client: RedisClient;
  readonly #byScore: string;
  readonly #byEnd: string;

  constructor(client: RedisClient, tag: string) {
    this.#client = client;
    this.#byScore = `{${tag}}:members`;
    this.#byEnd = `{${tag}}:ends`;
  }

  async add(entries: readonly IndexEntry[], ttlMs: number): Promise<void> {
    const calls: Promise<unknown>[] = [];
    for (let from = 0; from < entries.length; from += mostEntries) {
      const part = entries.slice(from, from + mostEntries).flatMap(({ score, member }) => [score, member]);
      calls.push(runScript(this.#client, addToIndex, [this.#byScore, this.#byEnd], [ttlMs, ...part]));
    }
    await Promise.all(calls);
  }

  async remove(member: string): Promise<void> {
    await Promise.all([this.#client.zrem(this.#byScore, member), this.#client.zrem(this.#byEnd, member)]);
  }

  async count(): Promise<number> {
    return Number(await runScript(this.#client, countIndex, [this.#byEnd], []));
  }

  /** Members from the greatest score down, of one score those that sort last first, in steps of a bounded size. */
  async *descend({ from, to }: ScoreRange, step: number): AsyncGenerator<readonly string[]> {
    let upTo = to;
    let skip = 0;
    for (;;) {
      const found = await this.#client.zrevrangebyscore(this.#byScore, upTo, from, 'WITHSCORES', 'LIMIT', skip, step);
      const members = found.filter((_, index) => index % 2 === 0);
      if (members.length > 0) yield members;
      if (members.length < step) return;
      // On from the last score, behind its members that were seen: to count from the top again would take ever longer.
      const last = found.at(-1) ?? '';
      const seen = found.filter((score, index) => index % 2 === 1 && score === last).length;
      skip = last === String(upTo) ? skip + seen : seen;
      upTo = last;
    }
  }
}
