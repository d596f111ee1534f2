import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { connectRedis, type RedisClient, type RedisPurpose } from '../../../src/lib/redis/connect-redis.ts';
import { RedisServer } from '../../services/redis-server.ts';
import { describeWithRedis, describeWithRedisProgram, useRedis } from '../../services/redis.ts';

const log = createLog({ level: 'silent' });
const open: RedisClient[] = [];
afterEach(() => {
  for (const client of open.splice(0)) client.disconnect();
});

const noTls = { ca: undefined, cert: undefined, key: undefined };

const connect = async (url: string, purpose: RedisPurpose): Promise<RedisClient> => {
  const client = await connectRedis({ variable: 'REDIS_URL', url, tls: noTls }, purpose, log);
  open.push(client);
  return client;
};

test('a host that does not exist is named, the password is not', async () => {
  const failure = await connect('redis://:secret@redis.invalid:6379', 'queue').catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'CONFIGURATION_ERROR' });
  expect(String(failure)).toContain('REDIS_URL (redis.invalid:6379)');
  expect(String(failure)).not.toContain('secret');
});

test('a port where nothing listens is told after a few seconds', async () => {
  const nothing = { code: 'SERVICE_UNAVAILABLE', message: expect.stringContaining('nothing listens there') };
  await Promise.all(
    ['redis://127.0.0.1:9', 'redis://127.0.0.1:9,redis://127.0.0.1:10', 'redis+sentinel://127.0.0.1:9/main'].map(
      (url) => expect(connect(url, 'queue')).rejects.toMatchObject(nothing),
    ),
  );
});

test('a cache without a server fails each command at once, and the start goes on', async () => {
  const client = await connect('redis://127.0.0.1:9', 'cache');
  await expect(client.get('key')).rejects.toThrow(/enableOfflineQueue/);
});

describeWithRedis('a server', () => {
  const redis = useRedis();

  test.each(['queue', 'cache'] as const)('answers a client for %s', async (purpose) => {
    const client = await connect(redis.url, purpose);
    if (client.status !== 'ready') await new Promise((resolve) => client.once('ready', resolve));
    expect(await client.ping()).toBe('PONG');
  });

  test('a subscriber that is closed in the moment in which it is back leaves no error to nobody', async () => {
    const faults: unknown[] = [];
    const onFault = (error: unknown): void => void faults.push(error);
    process.on('unhandledRejection', onFault);
    try {
      const client = await connect(redis.url, 'cache');
      if ('nodes' in client) throw new Error('not one server');
      if (client.status !== 'ready') await new Promise((resolve) => client.once('ready', resolve));
      await client.subscribe('a channel');
      const ended = new Promise((resolve) => client.once('end', resolve));
      client.once('ready', () => {
        client.disconnect();
        client.stream.destroy();
      });
      client.stream.destroy();
      await ended;
      await turn();
      expect(faults).toEqual([]);
    } finally {
      process.off('unhandledRejection', onFault);
    }
  });

  test('refuses a database number that it does not have', async () => {
    const url = new URL(redis.url);
    url.pathname = '/100000';
    await expect(connect(url.href, 'queue')).rejects.toMatchObject({ code: 'CONFIGURATION_ERROR' });
  });
});

// These need a server of their own; a shared one (REDIS_URL) must not be killed.
describeWithRedisProgram('a server that comes and goes', (program) => {
  test('commands of a queue wait for it, those of a cache do not', async () => {
    const server = await RedisServer.start(program);
    try {
      const queue = await connect(server.url, 'queue');
      const cache = await connect(server.url, 'cache');
      await server.kill();
      await expect(cache.get('key')).rejects.toThrow(/closed|enableOfflineQueue/);
      const waiting = queue.set('key', 'value');
      await server.run();
      expect(await waiting).toBe('OK');
    } finally {
      await server.stop();
    }
  });

  test('a wrong password is told as such', async () => {
    const server = await RedisServer.start(program, { args: ['--requirepass', 'right'] });
    try {
      const url = new URL(server.url);
      await expect(connect(url.href, 'queue')).rejects.toThrow(/asks for a password/);
      url.password = 'wrong';
      await expect(connect(url.href, 'queue')).rejects.toThrow(/refuses the user name or password/);
      url.password = 'right';
      expect(await (await connect(url.href, 'queue')).ping()).toBe('PONG');
    } finally {
      await server.stop();
    }
  });

  test('a server that becomes a replica is asked again until it is the master, and nothing fails', async () => {
    const server = await RedisServer.start(program);
    try {
      const client = await connect(server.url, 'queue');
      const admin = await connect(server.url, 'queue');
      await admin.replicaof('127.0.0.1', server.port);
      const waiting = client.set('key', 'value');
      await expect.poll(() => admin.info('errorstats')).toMatch(/READONLY/);
      await admin.replicaof('NO', 'ONE');
      expect(await waiting).toBe('OK');
    } finally {
      await server.stop();
    }
  });
});
