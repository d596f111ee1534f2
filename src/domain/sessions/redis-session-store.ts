import { z } from 'zod';
import { redisKey } from '../../lib/kv/redis-key.ts';
import { askRedis } from '../../lib/redis/ask-redis.ts';
import type { RedisConnection } from '../../lib/redis/redis-connection.ts';
import { runScript, type RedisScript } from '../../lib/redis/redis-script.ts';
import {
  createScript,
  destroyScript,
  listScript,
  noteScript,
  peekScript,
  touchScript,
} from './redis-session-scripts.ts';
import type { SessionStore, SessionTimes } from './session-store.ts';
import type { ListedSession, Session, SessionData } from './types.ts';

/** A user's list is read in steps of so many. */
const step = 100;
/** By how much the clocks of the nodes of a Cluster may differ. */
const skewMs = 300_000;

const foundReply = z.array(z.string());

const found = (reply: unknown): { readonly session: Session; readonly isDue: boolean } => {
  const [userId = '', data = '{}', createdAt, lastAccessedAt, expiresAt, isDue] = foundReply.parse(reply);
  const kept: SessionData = JSON.parse(data);
  const session = {
    userId,
    data: kept,
    createdAt: new Date(Number(createdAt)),
    lastAccessedAt: new Date(Number(lastAccessedAt)),
    expiresAt: new Date(Number(expiresAt)),
  };
  return { session, isDue: isDue === '1' };
};

const handles = z.array(z.string());

const sessionKey = (handle: string): string => redisKey('session', handle);
const userKey = (userId: string): string => redisKey('user-sessions', userId);

/**
 * Sessions as hashes in Redis, and for each user a sorted set of their handles by the time until which they may live. On a
 * Cluster the two lie on different nodes, so that they are written one after the other: the list first, and on creation once
 * more after. So a list may name sessions that are gone, which are dropped when it is read, and never misses one that is
 * there; see docs/sessions-and-presence.md.
 */
export class RedisSessionStore implements SessionStore {
  readonly #redis: RedisConnection;
  readonly #times: SessionTimes;

  constructor(redis: RedisConnection, times: SessionTimes) {
    this.#redis = redis;
    this.#times = times;
  }

  async create(handle: string, userId: string, json: string): Promise<Session> {
    const { ttlMs, maxAgeMs, touchAfterMs } = this.#times;
    await this.#note(userId, handle);
    const reply = await this.#run(createScript, [sessionKey(handle)], [userId, json, ttlMs, maxAgeMs, touchAfterMs]);
    // Whoever reads the list between the two steps drops what is not there yet.
    await this.#note(userId, handle);
    return found(reply).session;
  }

  async get(handle: string): Promise<Session | undefined> {
    const seen = await this.#peek(handle);
    if (!seen?.isDue) return seen?.session;
    const { userId } = seen.session;
    await this.#note(userId, handle);
    const { ttlMs, touchAfterMs } = this.#times;
    const reply = await this.#run(touchScript, [sessionKey(handle)], [ttlMs, touchAfterMs]);
    if (reply !== null) return found(reply).session;
    await this.#drop(userId, [handle]);
    return undefined;
  }

  async destroy(handle: string, userId = ''): Promise<boolean> {
    const owner = z
      .string()
      .nullable()
      .parse(await this.#run(destroyScript, [sessionKey(handle)], [userId]));
    if (owner === null) return false;
    await this.#drop(owner, [handle]);
    return true;
  }

  async destroyAll(userId: string): Promise<number> {
    for (let destroyed = 0; ;) {
      const batch = await this.#listed(userId, 0);
      if (batch.length === 0) return destroyed;
      const gone = await Promise.all(batch.map((handle) => this.#run(destroyScript, [sessionKey(handle)], [userId])));
      await this.#drop(userId, batch);
      destroyed += gone.filter((owner) => owner !== null).length;
    }
  }

  async list(userId: string, limit: number): Promise<readonly ListedSession[]> {
    const sessions = new Map<string, ListedSession>();
    for (let offset = 0; sessions.size < limit;) {
      const batch = await this.#listed(userId, offset);
      if (batch.length === 0) break;
      const seen = await Promise.all(batch.map(async (handle) => ({ handle, ...(await this.#peek(handle)) })));
      const gone = seen.flatMap(({ handle, session }) => (session ? [] : [handle]));
      if (gone.length > 0) await this.#drop(userId, gone);
      for (const { handle, session } of seen) if (session) sessions.set(handle, { handle, ...session });
      offset += batch.length - gone.length;
    }
    return [...sessions.values()]
      .toSorted((a, b) => b.lastAccessedAt.getTime() - a.lastAccessedAt.getTime() || (a.handle < b.handle ? -1 : 1))
      .slice(0, limit);
  }

  async #peek(handle: string) {
    const reply = await this.#run(peekScript, [sessionKey(handle)], [this.#times.touchAfterMs]);
    return reply === null ? undefined : found(reply);
  }

  /** The next handles of a user, those that may live longest first. */
  async #listed(userId: string, offset: number): Promise<readonly string[]> {
    return handles.parse(await this.#run(listScript, [userKey(userId)], [offset, step]));
  }

  async #note(userId: string, handle: string): Promise<void> {
    await this.#run(
      noteScript,
      [userKey(userId)],
      [handle, Math.min(this.#times.ttlMs, this.#times.maxAgeMs) + skewMs],
    );
  }

  async #drop(userId: string, gone: readonly string[]): Promise<void> {
    await askRedis(this.#redis, (client) => client.zrem(userKey(userId), ...gone));
  }

  #run(script: RedisScript, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return askRedis(this.#redis, (client) => runScript(client, script, keys, args));
  }
}
