import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { Redis } from 'ioredis';
import { createCache } from '../src/lib/cache/create-cache.ts';
import type { CacheManager } from '../src/lib/cache/cache-manager.ts';
import type { CacheSettingsInput } from '../src/lib/cache/cache-settings.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { Postgres } from '../src/lib/postgres/postgres.ts';
import { Subscription } from '../src/lib/postgres/subscription.ts';
import { migrateAll } from '../src/queues/migrations/migrate-all.ts';
import type { BenchOptions } from './benchmarks.ts';
import { coldKeyComputations, invalidationDelays } from './cache-processes.ts';
import { describeMachine, load } from './machine.ts';
import { compare, perSecond, type Turn } from './measure.ts';
import { report, type Row } from './report.ts';
import { startServers, type BenchServers } from './servers.ts';

interface Sizes {
  readonly rounds: number;
  readonly memoryReads: number;
  readonly redisReads: number;
  readonly batches: number;
  readonly invalidations: number;
  readonly processes: number;
}

const fullSizes: Sizes = {
  rounds: 7,
  memoryReads: 200_000,
  redisReads: 20_000,
  batches: 1_000,
  invalidations: 500,
  processes: 100,
};
const shortSizes: Sizes = {
  rounds: 3,
  memoryReads: 20_000,
  redisReads: 2_000,
  batches: 100,
  invalidations: 50,
  processes: 10,
};
const keyCount = 1_000;
const batchKeys = 100;
const callers = 50;
const tls = { ca: undefined, cert: undefined, key: undefined };

/** As large as a document in a list. */
const valueOf = (index: number) => ({
  id: `document-${index}`,
  title: `The document with the number ${index}`,
  excerpt: 'lorem ipsum '.repeat(20),
  tags: ['one', 'two', 'three'],
  version: index,
  author: { id: 'a', name: 'Mia' },
});
const keyOf = (index: number): string => `document:${index % keyCount}`;

interface World {
  readonly servers: BenchServers;
  readonly sizes: Sizes;
  readonly open: (settings: CacheSettingsInput, options?: { readonly withoutRedis?: boolean }) => Promise<CacheManager>;
}

const openWorld = (
  servers: BenchServers,
  sizes: Sizes,
): { readonly world: World; readonly close: () => Promise<void> } => {
  const log = createLog({ level: 'warn' });
  const { postgresUrl: url, redisUrl } = servers;
  const postgres = new Postgres(
    { url, directUrl: url, poolSize: 4, statementTimeoutMs: 60_000, applicationName: 'bench' },
    log,
  );
  const subscription = new Subscription(postgres, log);
  const opened: CacheManager[] = [];
  const open: World['open'] = async (settings, { withoutRedis = false } = {}) => {
    const address = { variable: 'REDIS_CACHE_URL', url: redisUrl ?? '', tls } as const;
    const redis = withoutRedis || redisUrl === undefined ? undefined : address;
    const cache = createCache({ redis, postgres, subscription, log });
    opened.push(cache);
    await cache.initialize(settings);
    return cache;
  };
  return {
    world: { servers, sizes, open },
    close: async () => {
      for (const cache of opened) await cache.close();
      await subscription.close();
      await postgres.close();
    },
  };
};

const oneByOne = async (count: number, read: (index: number) => Promise<unknown>): Promise<void> => {
  for (let index = 0; index < count; index += 1) await read(index);
};

const atOnce = async (count: number, read: (index: number) => Promise<unknown>): Promise<void> => {
  let next = 0;
  const caller = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await read(index);
  };
  await Promise.all(Array.from({ length: callers }, caller));
};

const rates = (
  name: string,
  count: number,
  go: (count: number, read: (index: number) => Promise<unknown>) => Promise<void>,
  read: (index: number) => Promise<unknown>,
): Turn => ({ name, run: () => perSecond(count, () => go(count, read)) });

const memoryRows = async ({ open, sizes: { rounds, memoryReads } }: World): Promise<readonly Row[]> => {
  const cache = await open({ layers: 'memory' }, { withoutRedis: true });
  const memory = memoryDriver({ serialize: false, maxItems: 10_000 });
  const bento = new BentoCache({ default: 'raw', stores: { raw: bentostore().useL1Layer(memory) } });
  for (let index = 0; index < keyCount; index += 1) {
    await cache.set(keyOf(index), valueOf(index));
    await bento.set({ key: keyOf(index), value: valueOf(index), ttl: '1h' });
  }
  const never = (): Promise<never> => Promise.reject(new Error('a miss'));
  const promised = { of: 'ratio', atLeast: 0.8 } as const;
  return [
    {
      measure: 'hits in memory, get',
      unit: '/s',
      promised,
      standings: await compare(rounds, [
        rates('Treadle', memoryReads, oneByOne, (index) => cache.get(keyOf(index))),
        rates('raw bentocache', memoryReads, oneByOne, (index) => bento.get({ key: keyOf(index) })),
      ]),
    },
    {
      measure: 'hits in memory, getOrCompute',
      unit: '/s',
      promised,
      standings: await compare(rounds, [
        rates('Treadle', memoryReads, oneByOne, (index) => cache.getOrCompute(keyOf(index), never)),
        rates('raw bentocache', memoryReads, oneByOne, (index) =>
          bento.getOrSet({ key: keyOf(index), factory: never, ttl: '1h' }),
        ),
      ]),
    },
  ];
};

const redisRows = async ({ open, servers, sizes }: World): Promise<readonly Row[]> => {
  const { rounds, redisReads, batches } = sizes;
  const cache = await open({ layers: 'redis' });
  const redis = new Redis(servers.redisUrl ?? '');
  for (let index = 0; index < keyCount; index += 1) {
    await cache.set(keyOf(index), valueOf(index));
    await redis.set(`raw:${keyOf(index)}`, JSON.stringify(valueOf(index)), 'EX', 3_600);
  }
  const raw = async (index: number): Promise<unknown> =>
    JSON.parse((await redis.get(`raw:${keyOf(index)}`)) ?? 'null') as unknown;
  const batchOf = (index: number): readonly string[] =>
    Array.from({ length: batchKeys }, (_, place) => keyOf(index * batchKeys + place));
  const single = { of: 'ratio', atLeast: 0.8 } as const;
  const rows: readonly Row[] = [
    {
      measure: `hits in Redis, ${callers} callers`,
      unit: '/s',
      promised: single,
      standings: await compare(rounds, [
        rates('Treadle', redisReads, atOnce, (index) => cache.get(keyOf(index))),
        rates('raw ioredis', redisReads, atOnce, raw),
      ]),
    },
    {
      measure: 'hits in Redis, one caller',
      unit: '/s',
      promised: single,
      standings: await compare(rounds, [
        rates('Treadle', redisReads / 4, oneByOne, (index) => cache.get(keyOf(index))),
        rates('raw ioredis', redisReads / 4, oneByOne, raw),
      ]),
    },
    {
      measure: `getBatch of ${batchKeys}, beside one MGET`,
      unit: '/s',
      promised: { of: 'ratio', atLeast: 0.67 },
      standings: await compare(rounds, [
        rates('Treadle', batches, oneByOne, (index) => cache.getBatch(batchOf(index))),
        rates('raw ioredis', batches, oneByOne, async (index) => {
          const texts = await redis.mget(batchOf(index).map((key) => `raw:${key}`));
          return texts.map((text) => JSON.parse(text ?? 'null') as unknown);
        }),
      ]),
    },
  ];
  redis.disconnect();
  return rows;
};

const delayRows = async ({ open, servers, sizes }: World): Promise<readonly Row[]> => {
  const rows: Row[] = [];
  for (const bus of servers.redisUrl === undefined ? (['notify'] as const) : (['redis', 'notify'] as const)) {
    const redisUrl = bus === 'redis' ? servers.redisUrl : undefined;
    const cache = await open({}, { withoutRedis: bus === 'notify' });
    const { p50, p99 } = await invalidationDelays(
      { postgresUrl: servers.postgresUrl, redisUrl, bus },
      cache,
      sizes.invalidations,
    );
    for (const [share, value] of [
      ['p50', p50],
      ['p99', p99],
    ] as const) {
      const name = bus === 'redis' ? 'Redis' : 'NOTIFY';
      const measure = `invalidation seen elsewhere by ${name}, ${share}`;
      rows.push({ measure, unit: 'ms', standings: [{ name: 'Treadle', value }] });
    }
  }
  return rows;
};

const coldRow = async ({ servers, sizes: { processes } }: World): Promise<Row> => ({
  measure: `computations of a cold key by ${processes} processes`,
  unit: 'of it',
  promised: { of: 'value', atMost: 1 },
  standings: [{ name: 'Treadle', value: await coldKeyComputations({ ...servers, bus: 'redis' }, processes) }],
});

/** Hits beside the plain library and client, how soon others know that something no longer holds, and many that ask for one cold key. */
export const benchCache = async ({ short }: BenchOptions): Promise<void> => {
  const servers = await startServers();
  const loadBefore = load();
  try {
    await migrateAll(servers.postgresUrl, createLog({ level: 'warn' }));
    const { world, close } = openWorld(servers, short ? shortSizes : fullSizes);
    try {
      const rows = [
        ...(await memoryRows(world)),
        ...(servers.redisUrl === undefined ? [] : await redisRows(world)),
        ...(await delayRows(world)),
        ...(servers.redisUrl === undefined ? [] : [await coldRow(world)]),
      ];
      report({ name: 'cache', short, machine: await describeMachine(servers), loadBefore, rows });
    } finally {
      await close();
    }
  } finally {
    await servers.close();
  }
};
