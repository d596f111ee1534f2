import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createCache } from '../../src/lib/cache/create-cache.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { Subscription } from '../../src/lib/postgres/subscription.ts';

// Asks with thirteen callers for the cold key `argv[2]` once the key `go` is in Redis; whoever computes notes it in the table
// `computed`, and takes `argv[3]` milliseconds. Prints `ready`, and what the callers were answered, each once.
const [, , key = '', takesMs = '200'] = process.argv;
const url = process.env['DATABASE_URL'] ?? '';
const redisUrl = process.env['REDIS_CACHE_URL'] ?? '';
const log = createLog({ level: 'fatal' });
const postgres = new Postgres(
  { url, directUrl: url, poolSize: 2, statementTimeoutMs: 30_000, applicationName: 'asker' },
  log,
);
const subscription = new Subscription(postgres, log);
const tls = { ca: undefined, cert: undefined, key: undefined };
const cache = createCache(
  { redis: { variable: 'REDIS_CACHE_URL', url: redisUrl, tls }, postgres, subscription, log },
  { leaseMs: 1_000 },
);
await cache.initialize({ leaseMs: 1_000 });
const signal = new Redis(redisUrl);
console.log('ready');
while ((await signal.exists('go')) === 0) await delay(5);
const answers = await Promise.all(
  Array.from({ length: 13 }, () =>
    cache.getOrCompute(key, async () => {
      await postgres.query('INSERT INTO computed (key, pid) VALUES ($1, $2)', [key, process.pid]);
      await delay(Number(takesMs));
      return { by: process.pid };
    }),
  ),
);
console.log([...new Set(answers.map(({ by }) => by))].join(' '));
signal.disconnect();
await cache.close();
await subscription.close();
await postgres.close();
