import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { DomainEvent } from '../../../src/domain/events/domain-event.ts';
import { eventStorageSuite } from '../../../src/domain/events/event-storage-suite.ts';
import { PostgresEventStorage } from '../../../src/domain/events/postgres/postgres-event-storage.ts';
import { RedisEventStorage } from '../../../src/domain/events/redis/redis-event-storage.ts';
import { useDatabase } from '../../services/database.ts';
import { describeWithRedis, describeWithRedisProgram, useRedis, useRedisCluster } from '../../services/redis.ts';
import { smallestAcl } from '../../services/redis-acl.ts';
import { RedisMonitor } from '../../services/redis-monitor.ts';
import { MemoryEventStorage } from './memory-event-storage.ts';

describe("an app's own storage of events, as docs/events.md shows one", () => {
  eventStorageSuite(() => new MemoryEventStorage(), test);
});

describe('the storage of events in Postgres', () => {
  const database = useDatabase();
  eventStorageSuite(() => new PostgresEventStorage(database.postgres), test);
});

const eventOf = (fields: Partial<Parameters<typeof DomainEvent.create>[0]> = {}): DomainEvent =>
  DomainEvent.create({ type: 'test.happened', aggregateId: 'a', ...fields });

const connected = async <T>(
  storage: RedisEventStorage,
  work: (storage: RedisEventStorage) => Promise<T>,
): Promise<T> => {
  await storage.connect();
  try {
    return await work(storage);
  } finally {
    await storage.disconnect();
  }
};

/** Works on each storage method, with many events and with criteria of every kind. */
const exercise = async (storage: RedisEventStorage): Promise<void> => {
  const times = [0, 1, 40, 400].map((days) => new Date(Date.now() - days * 86_400_000));
  const events = times.flatMap((occurredOn) =>
    Array.from({ length: 150 }, (_, index) => eventOf({ aggregateId: `a${index % 3}`, occurredOn })),
  );
  await storage.saveBatch(events);
  const [first] = events;
  await storage.load(first?.id ?? '');
  for (const criteria of [
    {},
    { eventType: 'test.happened' },
    { aggregateId: 'a1' },
    { after: times[3], before: times[0] },
  ])
    await storage.query({ ...criteria, limit: 500 });
  await storage.getStats();
  await storage.healthCheck();
  await storage.delete(first?.id ?? '');
};

describeWithRedis('the storage of events in Redis', () => {
  const redis = useRedis();
  const open = (options: { eventTtlMs?: number; keyPrefix?: string; enableIndexes?: boolean } = {}) =>
    new RedisEventStorage({ redis: { url: redis.url }, ...options });
  const members = (name: string): Promise<number> => redis.client.zcard(name);

  eventStorageSuite(() => open(), test);

  test('runs no command that grows with what is stored, and leaves no key for good', async () => {
    const monitor = await RedisMonitor.start([redis.url]);
    try {
      await connected(open({ keyPrefix: 'watched' }), exercise);
      expect(await monitor.unboundedCommands()).toEqual([]);
      expect(await monitor.keysWithoutExpiry()).toEqual([]);
      expect((await monitor.keys()).filter((key) => key.startsWith('{treadle:watched:')).length).toBeGreaterThan(600);
    } finally {
      monitor.stop();
    }
  });

  test('forgets events after their time, in its indexes too, although others of the type come later', async () => {
    const index = '{treadle:short:type:test.happened}:members';
    await connected(open({ keyPrefix: 'short', eventTtlMs: 300 }), async (storage) => {
      const old = Array.from({ length: 250 }, () => eventOf());
      await storage.saveBatch(old);
      expect(await members(index)).toBe(250);
      // The index itself lives on, for others come all the time.
      const last = eventOf();
      const others = async (): Promise<unknown> => {
        await storage.save(last);
        return storage.load(old[0]?.id ?? '');
      };
      await expect.poll(others, { timeout: 10_000, interval: 20 }).toBeNull();
      // Each that comes takes out more than itself.
      for (let count = 0; count < 3; count += 1) await storage.save(last);
      expect(await members(index)).toBe(1);
      expect(await members('{treadle:short:aggregate:a}:ends')).toBe(1);
      expect(await storage.getStats()).toMatchObject({ totalEvents: 1, typeCounts: { 'test.happened': 1 } });
      expect(await storage.query({})).toEqual([last]);
      await expect.poll(() => redis.client.keys('{treadle:short:*'), { timeout: 5_000 }).toEqual([]);
    });
  });

  test('takes what is no event for a miss, and counts it', async () => {
    await connected(open({ keyPrefix: 'broken' }), async (storage) => {
      const [text, torn, other, sound] = [eventOf(), eventOf(), eventOf(), eventOf()];
      await storage.saveBatch([text, torn, other, sound]);
      const keys = await redis.client.keys('{treadle:broken:event:*');
      const keyOf = ({ id }: DomainEvent): string => keys.find((key) => key.endsWith(`:${id}`)) ?? '';
      await redis.client.set(keyOf(text), 'foreign', 'EX', 100);
      await redis.client.hset(keyOf(torn), 'data', '{"id":');
      await redis.client.hset(keyOf(other), 'data', JSON.stringify(sound));
      for (const { id } of [text, torn, other]) expect(await storage.load(id)).toBeNull();
      expect(storage.corruptedReads).toBe(3);
      expect(await storage.query({ eventType: 'test.happened' })).toEqual([sound]);
      await storage.save(text);
      expect(await storage.load(text.id)).toEqual(text);
    });
  });

  test('without indexes keeps events by their ids only', async () => {
    await connected(open({ keyPrefix: 'bare', enableIndexes: false }), async (storage) => {
      const event = eventOf();
      await storage.save(event);
      expect(await storage.load(event.id)).toEqual(event);
      expect(await redis.client.keys('{treadle:bare:*')).toEqual([expect.stringContaining(event.id)]);
      await expect(storage.query({})).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
      await expect(storage.getStats()).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
      expect(await storage.delete(event.id)).toBe(true);
    });
  });

  test('says that Redis is away', async () => {
    const storage = new RedisEventStorage({ redis: { url: 'redis://127.0.0.1:1' } });
    await expect(storage.connect()).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    await expect(storage.save(eventOf())).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    expect([storage.isConnected(), await storage.healthCheck()]).toEqual([false, false]);
    await storage.disconnect();
  });

  test.each([{ keyPrefix: '' }, { keyPrefix: 'a{b}' }, { eventTtlMs: 0 }, { eventTtlMs: 1.5 }])(
    'refuses %j',
    (options) => {
      const [path] = Object.keys(options);
      expect(() => open(options)).toThrow(expect.objectContaining({ message: expect.stringContaining(`${path}:`) }));
    },
  );
});

describeWithRedisProgram('the storage of events in a Redis Cluster', (program) => {
  const cluster = useRedisCluster(program, smallestAcl);
  eventStorageSuite(() => new RedisEventStorage({ redis: { url: cluster.url } }), test);

  test('runs no command that grows with what is stored, and leaves no key for good', async () => {
    const monitor = await RedisMonitor.start(cluster.cluster.nodes.map(({ url }) => url));
    const nodes = cluster.cluster.nodes.map(({ url }) => new Redis(url));
    try {
      await connected(new RedisEventStorage({ redis: { url: cluster.url }, keyPrefix: 'watched' }), exercise);
      expect(await monitor.unboundedCommands()).toEqual([]);
      expect(await monitor.keysWithoutExpiry()).toEqual([]);
      // Each node has a part.
      for (const node of nodes) expect(await node.dbsize()).toBeGreaterThan(50);
    } finally {
      monitor.stop();
      for (const node of nodes) node.disconnect();
    }
  });
});
