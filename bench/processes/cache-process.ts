import { setTimeout as delay } from 'node:timers/promises';
import { createCache } from '../../src/lib/cache/create-cache.ts';
import type { CacheManager } from '../../src/lib/cache/cache-manager.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { Subscription } from '../../src/lib/postgres/subscription.ts';

// One process of a cache, told by messages what to do: `watch` tells when an entry that it holds in memory is gone; `ask` asks
// for a cold key, and tells whether it computed it.
const log = createLog({ level: 'fatal' });
const url = process.env['DATABASE_URL'] ?? '';
const redisUrl = process.env['REDIS_CACHE_URL'];
const bus = process.env['BUS'] === 'notify' ? 'notify' : 'redis';
const tls = { ca: undefined, cert: undefined, key: undefined };
const postgres = new Postgres(
  { url, directUrl: url, poolSize: 2, statementTimeoutMs: 30_000, applicationName: 'bench' },
  log,
);
const subscription = new Subscription(postgres, log);
const redis = redisUrl === undefined ? undefined : ({ variable: 'REDIS_CACHE_URL', url: redisUrl, tls } as const);
const cache: CacheManager = createCache({ redis, postgres, subscription, log, bus });
await cache.initialize({ leaseMs: 10_000 });

const tell = (message: object): void => void process.send?.(message);

const watch = async (key: string): Promise<void> => {
  await cache.getOrCompute(key, async () => 'held', { tags: ['watched'] });
  const { entries } = cache.getLocalCacheStats();
  tell({ held: key });
  while (cache.getLocalCacheStats().entries === entries) await new Promise((resolve) => setImmediate(resolve));
  tell({ gone: performance.timeOrigin + performance.now() });
};

const ask = async (key: string): Promise<void> => {
  let computed = 0;
  await cache.getOrCompute(key, async () => {
    computed += 1;
    await delay(500);
    return 'computed';
  });
  tell({ computed });
};

process.on('message', (message: { readonly watch?: string; readonly ask?: string }) => {
  if (message.watch !== undefined) void watch(message.watch);
  if (message.ask !== undefined) void ask(message.ask);
});
process.on('disconnect', () => process.exit(0));
tell({ ready: true });
