import { expect, test } from 'vitest';
import { useDatabase } from '../../services/database.ts';
import { RedisMonitor } from '../../services/redis-monitor.ts';
import { describeWithRedis, useRedis } from '../../services/redis.ts';
import { useCaches } from './each-cache.ts';

describeWithRedis('what a cache asks of Redis', () => {
  const redis = useRedis();
  const caches = useCaches(useDatabase(), redis);

  test('takes no longer than it must, and leaves nothing behind for good', async () => {
    const monitor = await RedisMonitor.start([redis.url]);
    try {
      const cache = await caches.open();
      for (let index = 0; index < 700; index += 1)
        await cache.getOrCompute(`a:${index}`, async () => ({ index }), { tags: ['all', `tag:${index % 3}`] });
      await cache.setBatch([{ key: 'b:1', value: 1 }], ['all']);
      await cache.getBatch(['a:1', 'b:1', 'c:1']);
      await cache.increment('counter:1');
      await cache.addToSet('set:1', ['x', 'y']);
      await cache.getSet('set:1');
      await cache.invalidateByTag('tag:1');
      await cache.invalidateByPattern('a:*');
      await cache.getOrCompute('failed:1', () => Promise.reject(new Error('down'))).catch(() => undefined);
      await cache.set('left:1', 1, { tags: ['all', 'left'] });
      expect(await monitor.unboundedCommands()).toEqual([]);
      expect(await monitor.keysWithoutExpiry()).toEqual([]);
      // Members of tags go with what they name.
      await cache.invalidateByTag('left');
      await cache.invalidateByTag('all');
      const left = (await monitor.keys()).filter((key) => key.startsWith('{treadle:cache:test:k:'));
      expect(left.toSorted((a, b) => a.localeCompare(b))).toEqual([
        '{treadle:cache:test:k:counter:1}',
        '{treadle:cache:test:k:set:1}:s',
      ]);
      await cache.clear();
      expect((await monitor.keys()).filter((key) => key.startsWith('{treadle:'))).toEqual([]);
      const commands = new Set((await monitor.seen()).map(([name = '']) => name.toLowerCase()));
      expect([...commands].filter((name) => ['keys', 'smembers', 'hgetall', 'del *'].includes(name))).toEqual([]);
    } finally {
      monitor.stop();
    }
  });

  test('a tag forgets what has expired', async () => {
    const cache = await caches.open({ jitter: 0 });
    for (let index = 0; index < 20; index += 1)
      await cache.set(`short:${index}`, index, { ttlMs: 20, tags: ['short'] });
    const size = () => redis.client.zcard('{treadle:cache:test:t:short}');
    expect(await size()).toBeGreaterThan(0);
    await expect
      .poll(async () => {
        await cache.set('long:1', 1, { tags: ['short'] });
        return size();
      })
      .toBe(1);
  });
});
