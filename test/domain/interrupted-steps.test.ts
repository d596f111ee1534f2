import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { PresenceService } from '../../src/domain/presence/service.ts';
import { SessionService } from '../../src/domain/sessions/service.ts';
import type { Kv } from '../../src/lib/kv/kv.ts';
import { redisKey } from '../../src/lib/kv/redis-key.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Subscription } from '../../src/lib/postgres/subscription.ts';
import { RedisConnection } from '../../src/lib/redis/redis-connection.ts';
import { useDatabase } from '../services/database.ts';
import { InterruptedRedis } from '../services/interrupted-redis.ts';
import { describeWithRedis, useRedis } from '../services/redis.ts';

const log = createLog({ level: 'silent' });
const tls = { ca: undefined, cert: undefined, key: undefined };
const dead = new Error('the process was killed');

// On a Cluster what belongs together lies on several nodes, and is written in several steps. What others do between two of
// them, and a process that is killed there.
describeWithRedis('steps that somebody comes between', () => {
  const database = useDatabase();
  const redis = useRedis();
  let own: InterruptedRedis;
  let others: RedisConnection;
  let subscription: Subscription;
  const kv = (connection: RedisConnection): Kv => ({
    backend: 'redis',
    redis: connection,
    postgres: database.postgres,
  });
  const sessions = (connection: RedisConnection): SessionService => new SessionService({ kv: kv(connection) });
  const presence = (connection: RedisConnection, ttlMs = 1_800_000): PresenceService =>
    new PresenceService({ kv: kv(connection), subscription, log, limits: { ttlMs } });
  beforeAll(() => {
    const address = { variable: 'REDIS_URL', url: redis.url, tls } as const;
    [own, others] = [new InterruptedRedis(address, log), new RedisConnection(address, log)];
    subscription = new Subscription(database.postgres, log);
  });
  beforeEach(async () => {
    own.interruption = undefined;
    await redis.client.flushdb();
  });
  afterAll(async () => {
    await own.close();
    await others.close();
    await subscription.close();
  });

  /** Comes before the first script on a key of this kind, once. */
  const before = (kind: string, act: () => Promise<unknown>, matches = (_args: readonly string[]) => true): void => {
    own.interruption = async (key, args) => {
      if (!key.startsWith(`{treadle:${kind}:`) || !matches(args)) return;
      own.interruption = undefined;
      await act();
    };
  };
  const listed = (userId: string): Promise<number> => redis.client.zcard(redisKey('user-sessions', userId));
  const dueAt = (documentId: string): Promise<string | null> => {
    const shard = (createHash('sha1').update(documentId).digest()[0] ?? 0) % 16;
    return redis.client.zscore(redisKey('presence-due', String(shard)), documentId);
  };

  test.each([
    ['all sessions are ended', (user: string) => sessions(others).destroyAllUserSessions(user)],
    ['they are listed', (user: string) => sessions(others).listUserSessions(user)],
  ])('a session that begins while %s is found when all are ended', async (_, act) => {
    before('session', () => act('ada'));
    const { id } = await sessions(own).createSession('ada');
    expect(await sessions(others).getSession(id)).toBeDefined();
    expect(await sessions(others).destroyAllUserSessions('ada')).toBe(1);
    expect(await sessions(others).getSession(id)).toBeUndefined();
  });

  test('a session that is used while all are ended is gone, and in no list', async () => {
    const often = new SessionService({ kv: kv(own), times: { touchAfterMs: 0 } });
    const { id } = await often.createSession('ada');
    before('user-sessions', () => sessions(others).destroyAllUserSessions('ada'));
    expect(await often.getSession(id)).toBeUndefined();
    expect(await listed('ada')).toBe(0);
  });

  test('a process that is killed while a session begins leaves a name in a list, until that is read', async () => {
    before('session', () => Promise.reject(dead));
    await expect(sessions(own).createSession('ada')).rejects.toMatchObject({ cause: dead });
    expect(await listed('ada')).toBe(1);
    expect(await sessions(others).listUserSessions('ada')).toEqual([]);
    expect(await listed('ada')).toBe(0);
  });

  test('a document that somebody joins while it is cleaned up is looked at again', async () => {
    await presence(own, 1).addUser('plan', 'ada', 's');
    await redis.client.zadd(
      redisKey('presence-due', String((createHash('sha1').update('plan').digest()[0] ?? 0) % 16)),
      1,
      'plan',
    );
    // Nobody is left there, and that is about to be written down.
    before(
      'presence-due',
      () => presence(others).addUser('plan', 'bob', 's'),
      (args) => args.includes('plan') && args.length >= 4,
    );
    await expect.poll(() => presence(own, 1).cleanupInactiveUsers(), { timeout: 5_000 }).toMatchObject({ users: 1 });
    expect((await presence(others).getActiveUsers('plan')).items).toMatchObject([{ userId: 'bob' }]);
    expect(await dueAt('plan')).not.toBeNull();
  });

  test('a process that is killed while somebody joins leaves a document that the cleanup forgets', async () => {
    before('presence', () => Promise.reject(dead));
    await expect(presence(own).addUser('plan', 'ada', 's')).rejects.toMatchObject({ cause: dead });
    expect(await dueAt('plan')).not.toBeNull();
    expect(await presence(others).getUserDocuments('ada')).toEqual([]);
    await redis.client.zadd(
      redisKey('presence-due', String((createHash('sha1').update('plan').digest()[0] ?? 0) % 16)),
      1,
      'plan',
    );
    expect(await presence(others).cleanupInactiveUsers()).toEqual({ connections: 0, users: 0 });
    expect(await dueAt('plan')).toBeNull();
  });
});
