import { expect, test } from 'vitest';
import { parseRedisUrl } from '../../../src/lib/redis/parse-redis-url.ts';

test('one server, with everything a URL can say', () => {
  expect(parseRedisUrl('redis://user:p%40ss@cache.internal:6380/3')).toEqual({
    kind: 'single',
    hosts: 'cache.internal:6380',
    options: { username: 'user', password: 'p@ss', host: 'cache.internal', port: 6_380, db: 3 },
  });
});

test('the port is 6379 where none is named, and rediss asks for TLS', () => {
  expect(parseRedisUrl('rediss://cache')).toMatchObject({ hosts: 'cache:6379', options: { port: 6_379, tls: {} } });
  expect(parseRedisUrl('redis://[::1]:7000')).toMatchObject({ options: { host: '::1', port: 7_000 } });
});

test('several servers are a Cluster with the credentials of the first', () => {
  expect(parseRedisUrl('rediss://:secret@one:7000, rediss://two:7001')).toEqual({
    kind: 'cluster',
    hosts: 'one:7000,two:7001',
    nodes: [
      { host: 'one', port: 7_000 },
      { host: 'two', port: 7_001 },
    ],
    options: { password: 'secret', tls: {} },
  });
});

test('sentinels name the master they watch', () => {
  expect(parseRedisUrl('redis+sentinel://user:secret@one:26379,two/main/2')).toEqual({
    kind: 'sentinel',
    hosts: 'one:26379,two:26379',
    options: {
      username: 'user',
      password: 'secret',
      sentinels: [
        { host: 'one', port: 26_379 },
        { host: 'two', port: 26_379 },
      ],
      name: 'main',
      db: 2,
    },
  });
});
