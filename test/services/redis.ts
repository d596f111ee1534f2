import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, inject } from 'vitest';
import { RedisCluster } from './redis-cluster.ts';
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

/** Marks the tests that need the program, because they kill servers, or start several. */
const programMark = '[redis-server]';

/** A describe block that gets the redis-server program of this machine, and is reported at the end where there is none. */
export const describeWithRedisProgram = (name: string, fn: (program: string) => void): void => {
  const program = inject('redisProgram');
  describe.runIf(program !== undefined)(`${name} ${programMark}`, () => {
    fn(program ?? '');
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
    // A replica lists its master as well, and a master its replicas (flags M and S).
    const clients = list.filter((line) => !/ flags=[^ ]*[MS]/.test(line));
    const others = clients.filter((line) => line.includes(` db=${database} `) && !line.startsWith(`id=${own} `));
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

export interface TestCluster {
  /** With the user, where one was asked for. Readable from `beforeAll` on. */
  readonly url: string;
  readonly cluster: RedisCluster;
}

/**
 * Gives the describe block a Cluster of three nodes. With `acl` its URL names a user who may do only that; what the nodes
 * refused to that user, and connections that are still open afterwards, fail the run.
 */
export const useRedisCluster = (program: string, acl: readonly string[] = []): TestCluster => {
  let cluster: RedisCluster | undefined;
  const askAll = async (work: (client: Redis, url: string) => Promise<void>): Promise<void> => {
    for (const node of cluster?.nodes ?? []) {
      if (!node.answers) continue;
      const client = new Redis(node.url, { maxRetriesPerRequest: 1 });
      try {
        await work(client, node.url);
      } finally {
        client.disconnect();
      }
    }
  };
  beforeAll(async () => {
    cluster = await RedisCluster.start(program);
    if (acl.length > 0)
      await askAll(async (client) => void (await client.acl('SETUSER', 'app', 'on', '>pass', ...acl)));
  });
  afterAll(async () => {
    try {
      await askAll(async (client, url) => {
        const left = await othersConnected(client, url);
        if (left.length > 0) throw new Error(`left connected to the Cluster:\n${left.join('\n')}`);
        if (acl.length === 0) return;
        const refused: unknown = await client.acl('LOG');
        if (!Array.isArray(refused) || refused.length > 0)
          throw new Error(`refused to the user: ${JSON.stringify(refused)}`);
      });
    } finally {
      await cluster?.stop();
    }
  });
  return {
    get url() {
      const { url } = ready(cluster);
      return acl.length > 0 ? url.replaceAll('redis://', 'redis://app:pass@') : url;
    },
    get cluster() {
      return ready(cluster);
    },
  };
};
