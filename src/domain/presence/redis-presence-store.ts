import { createHash } from 'node:crypto';
import { z } from 'zod';
import { redisKey } from '../../lib/kv/redis-key.ts';
import { askRedis } from '../../lib/redis/ask-redis.ts';
import type { RedisConnection } from '../../lib/redis/redis-connection.ts';
import { runScript, type RedisScript } from '../../lib/redis/redis-script.ts';
import type {
  ConnectionKey,
  Events,
  PresenceLimits,
  PresenceStore,
  StoredUser,
  Users,
  UsersRequest,
} from './presence-store.ts';
import { eventsReply, recordOf, type UserRecord } from './redis-presence-replies.ts';
import * as scripts from './redis-presence-scripts.ts';
import type { Cleaned, UserDocument } from './types.ts';
import { userOf } from './user-of.ts';

const minuteMs = 60_000;
const dayMs = 86_400_000;
/** Sets that documents are spread over, so that on a Cluster no one node has them all. */
const shards = 16;
/** So many of them are cleaned up at once. */
const lanes = 4;
/** What one command looks at. */
const step = { documents: 50, users: 100 };
/** How long others leave a document alone that somebody cleans up. */
const leaseMs = minuteMs;
/** A user who stays is noted in the indexes again after so long; what they note holds for much longer. */
const noteAfterMs = 5 * minuteMs;

/** Where those who watch a document are told of its events. */
export const presenceChannel = (documentId: string): string => redisKey('presence', documentId);

const added = (a: Cleaned, b: Cleaned): Cleaned => ({
  connections: a.connections + b.connections,
  users: a.users + b.users,
});

const shardOf = (documentId: string): number => (createHash('sha1').update(documentId).digest()[0] ?? 0) % shards;
const dueKey = (shard: number): string => redisKey('presence-due', String(shard));
const userKey = (userId: string): string => redisKey('presence-user', userId);
const part = (documentId: string, name: string): string => redisKey('presence', documentId, name);

const joinReply = z.tuple([z.enum(['joined', 'present', 'full']), z.coerce.number()]);
const expireReply = z.tuple([z.number(), z.number(), z.number(), z.string()]);
const texts = z.array(z.string());
/** A record may have gone meanwhile. */
const usersReply = z.tuple([z.coerce.number(), z.coerce.number()]).rest(z.string().nullable());

/** Presence in Redis; redis-presence-scripts.ts says how it lies there. */
export class RedisPresenceStore implements PresenceStore {
  readonly #redis: RedisConnection;
  readonly #limits: PresenceLimits;
  /** For how long after its last heartbeat a user's documents name one. */
  readonly #notedMs: number;

  constructor(redis: RedisConnection, limits: PresenceLimits) {
    this.#redis = redis;
    this.#limits = limits;
    this.#notedMs = 3 * Math.max(limits.ttlMs, 30 * minuteMs);
  }

  async join({ documentId, userId, socketId }: ConnectionKey, activityJson = '') {
    await this.#note(documentId, userId);
    const args = [userId, socketId, activityJson, this.#limits.mostConnections];
    const [outcome, sequence] = joinReply.parse(await this.#onDocument(scripts.joinScript, documentId, args));
    return { outcome, sequence };
  }

  async heartbeat({ documentId, userId, socketId }: ConnectionKey, activityJson = ''): Promise<boolean> {
    const args = [userId, socketId, activityJson, noteAfterMs];
    const answer = await this.#onDocument(scripts.heartbeatScript, documentId, args);
    if (answer === 2) await this.#note(documentId, userId);
    return answer !== 0;
  }

  async leave(documentId: string, userId: string, socketId = ''): Promise<number> {
    return z.number().parse(await this.#onDocument(scripts.leaveScript, documentId, [userId, socketId]));
  }

  async users(documentId: string, { direction, from, limit }: UsersRequest): Promise<Users> {
    const keys = ['users', 'joined', 'sequence'].map((name) => part(documentId, name));
    const users: StoredUser[] = [];
    let last: number | undefined;
    for (let beyond = from; ;) {
      const reply = await this.#run(scripts.usersScript, keys, [direction, beyond ?? '', limit]);
      const [now, sequence, ...rest] = usersReply.parse(reply);
      last ??= sequence;
      const seen = Array.from({ length: rest.length / 2 }, (_, index) => ({
        userId: rest[index * 2] ?? '',
        record: recordOf(rest[index * 2 + 1]),
      }));
      for (const { userId, record } of seen) users.push(...this.#alive(userId, record, now));
      beyond = seen.at(-1)?.record?.joinedSequence;
      if (users.length >= limit || seen.length < limit || beyond === undefined)
        return { users: users.slice(0, limit), sequence: last };
    }
  }

  async events(documentId: string, after: number, limit: number): Promise<Events> {
    const keys = ['events', 'sequence'].map((name) => part(documentId, name));
    const [firstSequence, sequence, events] = eventsReply.parse(
      await this.#run(scripts.eventsScript, keys, [after, limit]),
    );
    return { events, sequence, firstSequence };
  }

  async documentsOf(userId: string, limit: number): Promise<readonly UserDocument[]> {
    const found = new Map<string, UserDocument>();
    for (let offset = 0; found.size < limit;) {
      const args = [offset, step.documents];
      const batch = texts.parse(await this.#run(scripts.notedScript, [userKey(userId)], args));
      if (batch.length === 0) break;
      const gone: string[] = [];
      await Promise.all(
        batch.map(async (documentId) => {
          const user = await this.#userIn(documentId, userId);
          if (user) found.set(documentId, { documentId, joinedAt: user.joinedAt, lastSeen: user.lastSeen });
          else gone.push(documentId);
        }),
      );
      const dropped =
        gone.length === 0 ? 0 : await this.#run(scripts.dropScript, [userKey(userId)], [this.#notedMs, ...gone]);
      offset += batch.length - z.number().parse(dropped);
    }
    return [...found.values()]
      .toSorted((a, b) => b.lastSeen.getTime() - a.lastSeen.getTime() || (a.documentId < b.documentId ? -1 : 1))
      .slice(0, limit);
  }

  async clean(signal: AbortSignal): Promise<Cleaned> {
    const left = Array.from({ length: shards }, (_, shard) => shard);
    const lane = async (): Promise<Cleaned> => {
      let sum: Cleaned = { connections: 0, users: 0 };
      for (let shard = left.pop(); shard !== undefined; shard = left.pop())
        sum = added(sum, await this.#cleanShard(shard, signal));
      return sum;
    };
    return (await Promise.all(Array.from({ length: lanes }, lane))).reduce(added);
  }

  async #cleanShard(shard: number, signal: AbortSignal): Promise<Cleaned> {
    for (let sum: Cleaned = { connections: 0, users: 0 }; ;) {
      signal.throwIfAborted();
      const claimed = await this.#run(scripts.claimScript, [dueKey(shard)], [step.documents, leaseMs]);
      const [lease = '0', ...documents] = texts.parse(claimed);
      if (documents.length === 0) return sum;
      const cleaned = await Promise.all(documents.map((documentId) => this.#cleanDocument(documentId, signal)));
      sum = cleaned.reduce(added, sum);
      const settled = cleaned.flatMap(({ documentId, nextAt }) => [documentId, nextAt]);
      await this.#run(scripts.settleScript, [dueKey(shard)], [lease, 2 * dayMs, ...settled]);
    }
  }

  async #cleanDocument(documentId: string, signal: AbortSignal) {
    for (let sum = { connections: 0, users: 0 }; ;) {
      signal.throwIfAborted();
      const reply = await this.#onDocument(scripts.expireScript, documentId, [step.users]);
      const [connections, users, seen, nextAt] = expireReply.parse(reply);
      sum = { connections: sum.connections + connections, users: sum.users + users };
      if (seen < step.users) return { documentId, nextAt, ...sum };
    }
  }

  async #userIn(documentId: string, userId: string): Promise<StoredUser | undefined> {
    const reply = await this.#run(scripts.userScript, [part(documentId, 'users')], [userId]);
    const [now, text] = z.tuple([z.coerce.number(), z.string().nullish()]).parse(reply);
    return this.#alive(userId, recordOf(text), now)[0];
  }

  #alive(userId: string, record: UserRecord | undefined, now: number): readonly StoredUser[] {
    if (!record) return [];
    const { connections, ...joined } = record;
    const since = now - this.#limits.ttlMs;
    const user = userOf(
      userId,
      joined,
      connections.filter(({ lastSeen }) => lastSeen.getTime() > since),
    );
    return user ? [user] : [];
  }

  /** In the indexes: first, so that whoever is in a document is in them too. */
  async #note(documentId: string, userId: string): Promise<void> {
    await Promise.all([
      this.#run(scripts.registerScript, [dueKey(shardOf(documentId))], [documentId, this.#limits.ttlMs, 2 * dayMs]),
      this.#run(scripts.noteScript, [userKey(userId)], [documentId, this.#notedMs]),
    ]);
  }

  #onDocument(script: RedisScript, documentId: string, args: readonly (string | number)[]): Promise<unknown> {
    const keys = ['users', 'expiry', 'joined', 'events', 'sequence'].map((name) => part(documentId, name));
    return this.#run(script, keys, [this.#limits.ttlMs, presenceChannel(documentId), dayMs, ...args]);
  }

  #run(script: RedisScript, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return askRedis(this.#redis, (client) => runScript(client, script, keys, args));
  }
}
