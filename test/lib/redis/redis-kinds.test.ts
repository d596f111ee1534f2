import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { connectQueueRedis, type RedisClient } from '../../../src/lib/redis/connect-redis.ts';
import { evictionWarning } from '../../../src/lib/redis/examine-redis.ts';
import { RedisSentinel } from '../../services/redis-sentinel.ts';
import { RedisCluster } from '../../services/redis-cluster.ts';
import { freePort, RedisServer } from '../../services/redis-server.ts';
import { startTlsServer, testCertificate, testKey, tlsArguments } from '../../services/redis-tls.ts';
import { describeWithRedisProgram, useRedisCluster } from '../../services/redis.ts';

const log = createLog({ level: 'silent' });
const noTls = { ca: undefined, cert: undefined, key: undefined };
const open: RedisClient[] = [];
afterEach(() => {
  for (const client of open.splice(0)) client.disconnect();
});

const connect = async (url: string, tls: Partial<typeof noTls> | Record<string, string> = {}) => {
  const connected = await connectQueueRedis({ variable: 'REDIS_URL', url, tls: { ...noTls, ...tls } }, log);
  open.push(connected.client);
  return connected;
};

/** A server for one describe block. */
const useServer = (start: () => Promise<RedisServer>): (() => RedisServer) => {
  let server: RedisServer | undefined;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server?.stop());
  return () => {
    if (!server) throw new Error('the server runs from beforeAll to afterAll');
    return server;
  };
};

describeWithRedisProgram('a Cluster', (program) => {
  const redis = useRedisCluster(program);
  const server = useServer(() => RedisServer.start(program));

  test('is reached by any of its nodes, and the keys of one hash tag lie on one', async () => {
    const { client, facts } = await connect(`redis://127.0.0.1:9,${redis.url}`);
    expect(facts).toEqual({ isClusterNode: true, isReadOnly: false, evictionPolicy: 'noeviction' });
    expect(await client.mset('{treadle:a}:one', '1', '{treadle:a}:two', '2')).toBe('OK');
    expect(await client.mget('{treadle:a}:one', '{treadle:a}:two')).toEqual(['1', '2']);
  });

  test('is not reached by one URL, which would be one server', async () => {
    await expect(connect(redis.cluster.masters[0]?.url ?? '')).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      message: expect.stringMatching(/^REDIS_URL \(.*\): the server is a node of a Cluster: name several/),
    });
  });

  test('cannot be made of single servers', async () => {
    await expect(connect(`${server().url},${server().url}`)).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      message: expect.stringContaining('not a node of a Cluster: name it alone'),
    });
  });

  test('with a wrong password says so', async () => {
    await expect(connect(redis.url.replaceAll('redis://', 'redis://nobody:wrong@'))).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      message: expect.stringMatching(/refuses the user name or password$/),
    });
  });
});

describeWithRedisProgram('Sentinel', (program) => {
  let servers: RedisSentinel;
  beforeAll(async () => {
    servers = await RedisSentinel.start(program);
  });
  afterAll(() => servers.stop());

  test('that knows no master of that name says so', async () => {
    await expect(connect(servers.url('other'))).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      message: expect.stringContaining('the sentinels know no master "other"'),
    });
  });

  test('makes another the master when the master hangs, and commands go there', async () => {
    const { client } = await connect(servers.url());
    expect(await client.set('key', 'before')).toBe('OK');
    servers.master.hang();
    expect(await client.set('key', 'after')).toBe('OK');
    expect(await client.info('replication')).toContain('role:master');
  });
});

describeWithRedisProgram('TLS', (program) => {
  let tls: Awaited<ReturnType<typeof startTlsServer>>;
  beforeAll(async () => {
    tls = await startTlsServer(program, { clients: 'yes' });
  });
  afterAll(() => tls.server.stop());

  test('with the authority and a client certificate', async () => {
    const { client } = await connect(tls.url, { ca: testCertificate, cert: testCertificate, key: testKey });
    const values = Array.from({ length: 200 }, (_, n) => `${n}`.repeat(1_000));
    await Promise.all(values.map((value, n) => client.set(`key:${n}`, value)));
    expect(await client.mget(values.map((_, n) => `key:${n}`))).toEqual(values);
  });

  test('of a Cluster, to every node', async () => {
    const cluster = await RedisCluster.start(program, { tls: true });
    try {
      const { client } = await connect(cluster.tlsUrl, { ca: testCertificate });
      const keys = Array.from({ length: 50 }, (_, n) => `{treadle:${n}}:key`);
      await Promise.all(keys.map((key) => client.set(key, key)));
      expect(await Promise.all(keys.map((key) => client.get(key)))).toEqual(keys);
      client.disconnect();
    } finally {
      await cluster.stop();
    }
  });

  test('to a sentinel, with a password of its own, and from it to the master', async () => {
    const ports = { master: await freePort(), sentinel: await freePort() };
    const master = await RedisServer.start(program, {
      args: [...tlsArguments(ports.master, 'no'), '--requirepass', 'of-master'],
    });
    const sentinel = await RedisServer.start(program, {
      args: [...tlsArguments(ports.sentinel, 'no'), '--tls-replication', 'yes'],
      sentinel: [
        `sentinel monitor main 127.0.0.1 ${ports.master} 1`,
        'sentinel auth-pass main of-master',
        'requirepass of-sentinel',
      ],
    });
    const url = (password: string): string =>
      `rediss+sentinel://:of-master@localhost:${ports.sentinel}/main?db=3&sentinelPassword=${password}`;
    try {
      const { client } = await connect(url('of-sentinel'), { ca: testCertificate });
      expect(await client.client('INFO')).toContain(' db=3 ');
      client.disconnect();
      await expect(connect(url('wrong'), { ca: testCertificate })).rejects.toThrow(/refuses the user name or password/);
    } finally {
      await sentinel.stop();
      await master.stop();
    }
  });

  test.each([
    ['an authority that is not known', {}, /REDIS_URL \(127.*signed by nobody known: .* REDIS_CA/],
    ['a file that is not there', { ca: '/nowhere/ca.pem' }, /REDIS_CA: the file cannot be read \(ENOENT\)/],
    ['a file that is not PEM', { ca: import.meta.filename }, /REDIS_CA: the file holds no PEM/],
    ['no client certificate', { ca: testCertificate }, /asks for a client certificate: REDIS_CERT and REDIS_KEY/],
  ])('names %s', async (_, files, message) => {
    await expect(connect(tls.url, files)).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      message: expect.stringMatching(message),
    });
  });
});

describeWithRedisProgram('a Redis for queues', (program) => {
  describe('that evicts', () => {
    const server = useServer(() => RedisServer.start(program, { args: ['--maxmemory-policy', 'allkeys-lru'] }));
    const warningOf = async (...acl: string[]): Promise<string | undefined> => {
      const { client } = await connect(server().url);
      await client.call('ACL', 'SETUSER', 'app', 'reset', 'on', '>pass', '+@all', ...acl);
      return evictionWarning((await connect(server().url.replace('//', '//app:pass@'))).facts);
    };

    test.each([
      ['by INFO, though the user may not CONFIG', ['-config']],
      ['by CONFIG, though the user may not INFO', ['-info']],
    ])('is noticed %s', async (_, acl) => {
      expect(await warningOf(...acl)).toMatch(/maxmemory-policy is allkeys-lru/);
    });

    test('cannot be noticed by a user who may neither, which is said', async () => {
      expect(await warningOf('-info', '-config')).toMatch(/maxmemory-policy is unknown/);
    });
  });

  describe('that is a replica', () => {
    const master = useServer(() => RedisServer.start(program));
    const server = useServer(() =>
      RedisServer.start(program, { args: ['--replicaof', '127.0.0.1', String(master().port)] }),
    );

    test('is refused', async () => {
      expect(evictionWarning((await connect(master().url)).facts)).toBeUndefined();
      await expect(connect(server().url)).rejects.toThrow(/is a read-only replica: name the master/);
    });
  });
});
