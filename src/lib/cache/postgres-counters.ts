import { createHash } from 'node:crypto';
import { isConnectionError } from '../errors/classify.ts';
import type { Queryable } from '../postgres/queryable.ts';
import { fromRedisText, toRedisText } from './cache-text.ts';
import type { Counters } from './counters.ts';

const seconds = (ms: number): number => ms / 1_000;
/** Keys and members are as long as they like; an index is not. */
const hashed = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Counters and sets for whoever has no Redis, by the clock of Postgres. What has expired counts as gone; `prune` deletes it. */
export class PostgresCounters implements Counters {
  readonly #db: Queryable;
  readonly #prefix: string;

  constructor(db: Queryable, prefix: string) {
    this.#db = db;
    this.#prefix = prefix;
  }

  async increment(key: string, by: number, ttlMs: number): Promise<number> {
    const { rows } = await this.#db.query<{ value: string }>(
      `INSERT INTO treadle.cache_counters AS known (prefix, key_hash, value, expires_at)
       VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
       ON CONFLICT (prefix, key_hash) DO UPDATE SET expires_at = excluded.expires_at,
         value = excluded.value + CASE WHEN known.expires_at > clock_timestamp() THEN known.value ELSE 0 END
       RETURNING value::text`,
      [this.#prefix, hashed(key), by, seconds(ttlMs)],
    );
    return Number(rows[0]?.value ?? 0);
  }

  async read(keys: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const byHash = new Map(keys.map((key) => [hashed(key).toString('hex'), key]));
    const { rows } = await this.#db.query<{ hash: string; value: string }>(
      `SELECT encode(key_hash, 'hex') AS hash, value::text FROM treadle.cache_counters
       WHERE prefix = $1 AND key_hash = ANY ($2::bytea[]) AND expires_at > clock_timestamp()`,
      [this.#prefix, keys.map(hashed)],
    );
    return new Map(
      rows.flatMap(({ hash, value }) => {
        const key = byHash.get(hash);
        return key === undefined ? [] : [[key, Number(value)] as const];
      }),
    );
  }

  async addToSet(key: string, members: readonly string[], ttlMs: number): Promise<number> {
    const hash = hashed(key);
    const texts = [...new Set(members)].map(toRedisText);
    // All members of a set expire together, with the last change of any.
    await this.#db.query(
      'DELETE FROM treadle.cache_sets WHERE prefix = $1 AND key_hash = $2 AND expires_at <= clock_timestamp()',
      [this.#prefix, hash],
    );
    const { rows } = await this.#db.query<{ added: number }>(
      `WITH known AS (
         INSERT INTO treadle.cache_sets (prefix, key_hash, expires_at)
         VALUES ($1, $2, clock_timestamp() + make_interval(secs => $5))
         ON CONFLICT (prefix, key_hash) DO UPDATE SET expires_at = excluded.expires_at
         RETURNING prefix, key_hash
       ), added AS (
         INSERT INTO treadle.cache_set_members (prefix, key_hash, member_hash, member)
         SELECT prefix, key_hash, given.hash, given.member FROM known, unnest($3::bytea[], $4::text[]) AS given (hash, member)
         ON CONFLICT DO NOTHING RETURNING 1
       )
       SELECT count(*)::integer AS added FROM added`,
      [this.#prefix, hash, texts.map(hashed), texts, seconds(ttlMs)],
    );
    return rows[0]?.added ?? 0;
  }

  async getSet(key: string, limit: number): Promise<readonly string[]> {
    const { rows } = await this.#db.query<{ member: string }>(
      `SELECT m.member FROM treadle.cache_sets AS s JOIN treadle.cache_set_members AS m USING (prefix, key_hash)
       WHERE s.prefix = $1 AND s.key_hash = $2 AND s.expires_at > clock_timestamp() LIMIT $3`,
      [this.#prefix, hashed(key), limit],
    );
    return rows.map(({ member }) => fromRedisText(member));
  }

  remove(keys: readonly string[]): Promise<boolean> {
    return this.#delete('key_hash = ANY ($2::bytea[])', [this.#prefix, keys.map(hashed)]);
  }

  clear(): Promise<boolean> {
    return this.#delete('true', [this.#prefix]);
  }

  async #delete(condition: string, values: unknown[]): Promise<boolean> {
    try {
      await this.#db.query(
        `WITH sets AS (DELETE FROM treadle.cache_sets WHERE prefix = $1 AND ${condition})
         DELETE FROM treadle.cache_counters WHERE prefix = $1 AND ${condition}`,
        values,
      );
      return true;
    } catch (error) {
      if (isConnectionError(error)) return false;
      throw error;
    }
  }
}
