import { redisKey } from '../kv/redis-key.ts';
import { queryOften, type PreparingQueryable } from '../postgres/queryable.ts';
import { askRedis } from '../redis/ask-redis.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import { redisScript, runScript } from '../redis/redis-script.ts';
import type { LockClaim, LockStore } from './lock-store.ts';

export const drawSql = `SELECT nextval('treadle.fencing_tokens') AS fence`;

/** A released or expired lock is remembered, with its fencing token, for an hour. */
export const rememberedMs = 3_600_000;

const now = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/**
 * KEYS: the lock, a hash of `owner`, `fence` and `until`. ARGV: token, fencing token, ttlMs, rememberedMs.
 * Answers 1 when it is taken, 0 when somebody has it, -1 when the fencing token is older than that of a holder before.
 */
export const takeScript = redisScript(`${now}
local held = redis.call('HMGET', KEYS[1], 'fence', 'until')
if held[2] and tonumber(held[2]) > now then return 0 end
if held[1] and tonumber(held[1]) >= tonumber(ARGV[2]) then return -1 end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', ARGV[2], 'until', string.format('%.0f', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3] + ARGV[4])
return 1`);

/** KEYS: the lock. ARGV: token, ttlMs (0: give it back), rememberedMs. Answers 1, or 0 when the token does not hold it. */
export const renewScript = redisScript(`${now}
local held = redis.call('HMGET', KEYS[1], 'owner', 'until')
if held[1] ~= ARGV[1] or tonumber(held[2]) <= now then return 0 end
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[3])
return 1`);

/**
 * Locks as hashes in Redis. Fencing tokens come from the sequence in Postgres and not from Redis, which may be flushed. One is
 * drawn before the lock is taken, so a holder's is never younger than that of who holds it after; what the lock remembers
 * keeps it from being older than that of who held it before.
 */
export class RedisLockStore implements LockStore {
  readonly #redis: RedisConnection;
  readonly #db: PreparingQueryable;
  /** Drawn and not used: of a claim that waits. */
  readonly #drawn = new WeakMap<LockClaim, number>();

  constructor(redis: RedisConnection, db: PreparingQueryable) {
    this.#redis = redis;
    this.#db = db;
  }

  async take(claim: LockClaim, ttlMs: number): Promise<number | undefined> {
    for (;;) {
      const fence = this.#drawn.get(claim) ?? (await this.#draw());
      this.#drawn.set(claim, fence);
      const key = redisKey('lock', claim.resource);
      const taken = await askRedis(this.#redis, (client) =>
        runScript(client, takeScript, [key], [claim.token, fence, ttlMs, rememberedMs]),
      );
      if (taken === 1) return fence;
      if (taken === 0) return undefined;
      this.#drawn.delete(claim);
    }
  }

  renew(claim: LockClaim, ttlMs: number): Promise<boolean> {
    return this.#hold(claim, ttlMs);
  }

  release(claim: LockClaim): Promise<boolean> {
    return this.#hold(claim, 0);
  }

  async #hold({ resource, token }: LockClaim, ttlMs: number): Promise<boolean> {
    const key = redisKey('lock', resource);
    const held = await askRedis(this.#redis, (client) =>
      runScript(client, renewScript, [key], [token, ttlMs, rememberedMs]),
    );
    return held === 1;
  }

  async #draw(): Promise<number> {
    const { rows } = await queryOften<{ fence: string }>(this.#db, drawSql, []);
    return Number(rows[0]?.fence);
  }
}
