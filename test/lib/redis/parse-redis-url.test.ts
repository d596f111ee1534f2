import { expect, test } from 'vitest';
import { parseRedisUrl, RedisUrlFault } from '../../../src/lib/redis/parse-redis-url.ts';

test('one server, with everything a URL can say', () => {
  expect(parseRedisUrl('redis://user:p%40ss@cache.internal:6380/3')).toEqual({
    kind: 'single',
    hosts: 'cache.internal:6380',
    addresses: [{ host: 'cache.internal', port: 6_380 }],
    secure: false,
    options: { username: 'user', password: 'p@ss', host: 'cache.internal', port: 6_380, db: 3 },
  });
});

test('the port is 6379 where none is named, and rediss asks for TLS', () => {
  expect(parseRedisUrl('rediss://cache')).toMatchObject({
    hosts: 'cache:6379',
    secure: true,
    options: { port: 6_379 },
  });
  expect(parseRedisUrl('redis://[::1]:7000')).toMatchObject({ options: { host: '::1', port: 7_000 } });
});

test('several servers are a Cluster with the credentials of the first', () => {
  expect(parseRedisUrl('rediss://:secret@one:7000, rediss://two:7001')).toEqual({
    kind: 'cluster',
    hosts: 'one:7000,two:7001',
    addresses: [
      { host: 'one', port: 7_000 },
      { host: 'two', port: 7_001 },
    ],
    secure: true,
    options: { password: 'secret' },
  });
});

const sentinels = [
  { host: 'one', port: 26_379 },
  { host: 'two', port: 26_379 },
];

test('sentinels name the master they watch, and have a user and password of their own', () => {
  const parameters = 'db=2&sentinelUsername=watch&sentinelPassword=p%26q';
  expect(parseRedisUrl(`redis+sentinel://user:secret@one:26379,two/main?${parameters}`)).toEqual({
    kind: 'sentinel',
    hosts: 'one:26379,two:26379',
    addresses: sentinels,
    secure: false,
    options: {
      username: 'user',
      password: 'secret',
      db: 2,
      sentinelUsername: 'watch',
      sentinelPassword: 'p&q',
      sentinels,
      name: 'main',
    },
  });
  expect(parseRedisUrl('rediss+sentinel://one/main')).toMatchObject({ secure: true, options: { name: 'main' } });
});

test.each([
  ['hush:6379', /must start with redis:\/\/, rediss:\/\//],
  ['http://hush', /must start with/],
  ['redis://u:hush@one,two', /and so must each of several/],
  ['redis://u:hu,sh@one', /, .* percent-encoded/],
  ['redis://u:hu/sh@one', /percent-encoded \(\/ is %2F\)/],
  ['redis://u:hu%sh@one', /a % that encodes nothing/],
  ['redis://', /names no host|host or port/],
  ['redis://one:0', /port 0/],
  ['redis://one:70000', /host or port that is none/],
  ['redis://one/hush', /database that is not a number/],
  ['redis://one?password=hush', /may have no \? parameters/],
  ['redis://u:hu#sh@one', /host or port|may have no #/],
  ['redis://one,rediss://two', /mixes redis:\/\/ and rediss:\/\//],
  ['redis://one/1,redis://two/1', /a Cluster has only 0/],
  ['redis://u:hush@one,redis://u:other@two', /several users or passwords/],
  ['redis+sentinel://u:hush@one', /names no master/],
  ['redis+sentinel://one:99999/main', /host or port that is none/],
  ['redis+sentinel://one,/main', /names no host|host or port/],
  ['redis+sentinel://one/main/2', /a database is given as \?db=2/],
  ['redis+sentinel://one/main?db=hush', /database that is not a number/],
  ['redis+sentinel://one/main?hush=1', /the parameters db, sentinelUsername, sentinelPassword only/],
  ['redis+sentinel://one/main?db=1&db=2', /a parameter twice/],
])('%s is refused with what is wrong, and nothing of it is repeated', (text, message) => {
  const fault = ((): unknown => {
    try {
      return parseRedisUrl(text);
    } catch (error) {
      return error;
    }
  })();
  expect(fault).toBeInstanceOf(RedisUrlFault);
  expect(String(fault)).toMatch(message);
  expect(String(fault)).not.toMatch(/hush|hu,sh|other/);
});
