import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../src/lib/log/create-log.ts';
import { connectBullOnRedis } from '../../src/queues/bullmq/redis-backend.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { useDatabase } from '../services/database.ts';
import { RedisSentinel } from '../services/redis-sentinel.ts';
import { describeWithRedisProgram, useRedisCluster } from '../services/redis.ts';
import { countEffects, effect, effectHandler, expectEachOnce } from './effects.ts';
import { useTreadle } from './use-treadle.ts';

const setUp = (redis: { readonly url: string }) => {
  const database = useDatabase();
  beforeAll(() => database.query('CREATE TABLE effects (n integer)'));
  const treadle = useTreadle({
    database,
    redis,
    contracts: [effect],
    queues: [defineQueue({ name: 'things', concurrency: 4, lockMs: 2_000 })],
    handlers: [effectHandler],
  });
  /** Enqueues the jobs and resolves once some of them are done. */
  const begin = async (from: number, to: number): Promise<void> => {
    const numbers = Array.from({ length: to - from }, (_, index) => ({ n: from + index }));
    await treadle.platform.enqueuer.enqueueMany(effect, numbers);
    await expect.poll(() => countEffects(database), { timeout: 10_000, interval: 5 }).toBeGreaterThan(from + 50);
  };
  return { database, treadle, begin };
};

describeWithRedisProgram('a failover', (program) => {
  describe('by Sentinel', () => {
    let servers: RedisSentinel | undefined;
    beforeAll(async () => {
      servers = await RedisSentinel.start(program);
    });
    afterAll(() => servers?.stop());
    const { database, treadle, begin } = setUp({
      get url() {
        return servers?.url() ?? '';
      },
    });

    test('after kill -9 of the master every job finishes, its effect once', async () => {
      await begin(0, 600);
      await servers?.master.kill();
      expect(await countEffects(database)).toBeLessThan(600);
      await expectEachOnce(treadle.platform, database, 600);
    });
  });

  describe('of a Cluster', () => {
    const redis = useRedisCluster(program);
    const { database, treadle, begin } = setUp(redis);

    test('after kill -9 of the node that holds the queue every job finishes, its effect once', async () => {
      const node = await redis.cluster.masterOf('treadle:things');
      await begin(0, 500);
      await node.kill();
      expect(await countEffects(database)).toBeLessThan(500);
      await node.run();
      await expectEachOnce(treadle.platform, database, 500);
    });

    test('a replica that takes over is an outage: what its queues should hold is to be asked about', async () => {
      const busy = await redis.cluster.masterOf('treadle:things');
      const masters = await Promise.all(
        ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => redis.cluster.masterOf(`treadle:${name}`)),
      );
      const other = masters.findIndex((master) => master !== busy);
      const [queue, node] = ['abcdef'.charAt(other), masters[other] ?? busy];
      await redis.cluster.addReplica(node);
      const tls = { ca: undefined, cert: undefined, key: undefined };
      const address = { variable: 'REDIS_URL', url: redis.url, tls } as const;
      const bull = await connectBullOnRedis(address, createLog({ level: 'silent' }));
      onTestFinished(() => bull.close());
      await bull.epoch(queue);
      const before = bull.outages();
      await redis.cluster.takeOver();
      await expect
        .poll(() => bull.epoch(queue).then(() => bull.outages()), { timeout: 10_000 })
        .toBeGreaterThan(before);
    });

    test('when the node hangs its replica carries on', async () => {
      const node = await redis.cluster.masterOf('treadle:things');
      await redis.cluster.addReplica(node);
      await begin(500, 1_100);
      node.hang();
      expect(await countEffects(database)).toBeLessThan(1_100);
      await expectEachOnce(treadle.platform, database, 1_100);
    });
  });
});
