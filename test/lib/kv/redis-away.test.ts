import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PresenceService } from '../../../src/domain/presence/service.ts';
import type { PresenceNews } from '../../../src/domain/presence/types.ts';
import { SessionService } from '../../../src/domain/sessions/service.ts';
import type { Kv } from '../../../src/lib/kv/kv.ts';
import { LockService } from '../../../src/lib/locks/lock-service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Subscription } from '../../../src/lib/postgres/subscription.ts';
import { RedisConnection } from '../../../src/lib/redis/redis-connection.ts';
import { useDatabase } from '../../services/database.ts';
import { describeWithRedisProgram } from '../../services/redis.ts';
import { RedisServer } from '../../services/redis-server.ts';

const log = createLog({ level: 'silent' });
const away = { code: 'SERVICE_UNAVAILABLE', status: 503, retryable: true, details: { service: 'redis' } };

describeWithRedisProgram('what is kept in a Redis that is away', (program) => {
  const database = useDatabase();
  let server: RedisServer;
  let parts: { sessions: SessionService; presence: PresenceService; locks: LockService };
  const open: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    server = await RedisServer.start(program);
    const tls = { ca: undefined, cert: undefined, key: undefined };
    const redis = new RedisConnection({ variable: 'REDIS_URL', url: server.url, tls }, log);
    const kv: Kv = { backend: 'redis', redis, postgres: database.postgres };
    const subscription = new Subscription(database.postgres, log);
    parts = {
      sessions: new SessionService({ kv }),
      presence: new PresenceService({ kv, subscription, log }),
      locks: new LockService({ kv, log }),
    };
    open.push(
      () => parts.locks.close(),
      () => redis.close(),
      () => subscription.close(),
      () => server.stop(),
    );
  });
  afterAll(async () => {
    for (const close of open) await close();
  });

  const calls = (): readonly Promise<unknown>[] => [
    parts.sessions.createSession('u'),
    parts.sessions.getSession('x'),
    parts.sessions.destroyAllUserSessions('u'),
    parts.sessions.listUserSessions('u'),
    parts.presence.addUser('d', 'u', 's'),
    parts.presence.updateUserActivity('d', 'u', 's'),
    parts.presence.removeUser('d', 'u'),
    parts.presence.getActiveUsers('d'),
    parts.presence.getUserDocuments('u'),
    parts.presence.cleanupInactiveUsers(),
    parts.locks.acquireLock('r'),
    parts.locks.withLock('q', () => Promise.resolve()),
  ];
  const allSay = async (refusal: object): Promise<void> => {
    for (const result of await Promise.allSettled(calls()))
      expect(result).toMatchObject({ status: 'rejected', reason: refusal });
  };
  const until = async (look: () => Promise<boolean> | boolean): Promise<void> => {
    for (const deadline = Date.now() + 20_000; !(await look());) {
      if (Date.now() > deadline) throw new Error('it did not happen within twenty seconds');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const worksAgain = (): Promise<void> =>
    until(() =>
      parts.sessions.createSession('u').then(
        () => true,
        () => false,
      ),
    );

  test('is refused soon with its name, and there again by itself', async () => {
    await Promise.all(calls());
    const lock = await parts.locks.acquireLock('held', { ttlMs: 1_000 });
    const stop = new AbortController();
    const news = await parts.presence.watch('d', { signal: stop.signal });
    const heard: PresenceNews[] = [];
    const listening = (async () => {
      for await (const item of news) heard.push(item);
    })();
    await server.kill();
    const startedAt = performance.now();
    await allSay(away);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await until(() => lock?.signal.aborted === true);
    expect(lock?.signal.reason).toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });

    await server.run();
    await worksAgain();
    // All that lay there is gone, and says so.
    expect(await parts.presence.updateUserActivity('d', 'u', 's')).toBe(false);
    expect(lock && (await parts.locks.releaseLock(lock))).toBe(false);
    expect(await parts.locks.acquireLock('held', { waitMs: 0 })).toMatchObject({ resource: 'held' });
    await parts.presence.addUser('d', 'new', 's');
    await until(() => heard.some((item) => item.kind === 'snapshot' && item.reason === 'missed'));
    stop.abort();
    await listening;
  });

  test('that hangs is refused within seconds, as one that is full is', async () => {
    await worksAgain();
    server.hang();
    const startedAt = performance.now();
    await allSay(away);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    await server.kill();
    await server.run();
    await worksAgain();
    const client = new Redis(server.url);
    await client.config('SET', 'maxmemory', '1');
    await expect(parts.sessions.createSession('u')).rejects.toMatchObject(away);
    await client.config('SET', 'maxmemory', '0');
    client.disconnect();
    await worksAgain();
  });
});
