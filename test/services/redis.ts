import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, inject } from 'vitest';
import { RedisServer } from './redis-server.ts';

export interface TestRedis {
  /** Readable from `beforeAll` on. */
  readonly url: string;
  /** Made when first asked for, closed after the block. */
  readonly client: Redis;
}

/** Marks the tests that need Redis, so that the report can count those it skipped. */
const redisMark = '[redis]';

/** A describe block that runs where there is a Redis, and is reported at the end of the run where there is none. */
export const describeWithRedis = (name: string, fn: () => void): void => {
  describe.runIf(inject('redis') !== undefined)(`${name} ${redisMark}`, () => {
    fn();
  });
};

const ready = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the Redis of this block exists from beforeAll to afterAll');
  return value;
};

/** Set in a logical database while tests use it, so that a run that was killed can be told from somebody's data. */
const marker = 'treadle:tests';

/** Takes an empty logical database of a shared server, the last one first. */
const takeLogicalDatabase = async (serverUrl: string): Promise<string> => {
  const url = new URL(serverUrl);
  for (let number = 15; number > 0; number -= 1) {
    url.pathname = `/${number}`;
    const client = new Redis(url.href, { maxRetriesPerRequest: 1 });
    try {
      const stale = (await client.exists(marker)) === 1 && (await client.ttl(marker)) < 0;
      if (stale) await client.flushdb();
      if ((await client.dbsize()) === 0 && (await client.set(marker, '1', 'EX', 3_600, 'NX')) === 'OK') return url.href;
    } finally {
      client.disconnect();
    }
  }
  throw new Error('every logical database of REDIS_URL has keys: empty one (redis-cli -n 15 FLUSHDB)');
};

const start = async (): Promise<{ url: string; stop: () => Promise<void> }> => {
  const source = ready(inject('redis'));
  if (source.kind === 'program') {
    const server = await RedisServer.start(source.program);
    return { url: server.url, stop: () => server.stop() };
  }
  const url = await takeLogicalDatabase(source.url);
  const stop = async (): Promise<void> => {
    const client = new Redis(url);
    await client.flushdb();
    client.disconnect();
  };
  return { url, stop };
};

/** Who else is connected; asked until nobody is, or two seconds have passed. */
const othersConnected = async (client: Redis, url: string): Promise<readonly string[]> => {
  const database = new URL(url).pathname.slice(1) || '0';
  const own = String(await client.client('ID'));
  for (const deadline = Date.now() + 2_000; ;) {
    const list = String(await client.client('LIST'))
      .trim()
      .split('\n');
    const others = list.filter((line) => line.includes(` db=${database} `) && !line.startsWith(`id=${own} `));
    if (others.length === 0 || Date.now() > deadline) return others;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

/**
 * Gives the describe block an empty Redis: a server of its own, or with REDIS_URL a logical database of that one.
 * Connections that are still open afterwards fail the run. Use it inside {@link describeWithRedis}.
 */
export const useRedis = (): TestRedis => {
  let running: { url: string; stop: () => Promise<void> } | undefined;
  let client: Redis | undefined;
  const clientOf = (url: string): Redis => {
    client ??= new Redis(url, { maxRetriesPerRequest: 1 });
    return client;
  };
  beforeAll(async () => {
    running = await start();
  });
  afterAll(async () => {
    if (!running) return;
    try {
      const left = await othersConnected(clientOf(running.url), running.url);
      if (left.length > 0) throw new Error(`left connected to Redis:\n${left.join('\n')}`);
    } finally {
      client?.disconnect();
      await running.stop();
    }
  });
  return {
    get url() {
      return ready(running).url;
    },
    get client() {
      return clientOf(ready(running).url);
    },
  };
};
