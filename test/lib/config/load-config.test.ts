import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeConfig } from '../../../src/lib/config/describe-config.ts';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { AppError } from '../../../src/lib/errors/app-error.ts';

const faultsOf = (env: Record<string, string>): string[] => {
  try {
    loadConfig(env);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(error.code).toBe('CONFIGURATION_ERROR');
    const { faults } = error.details as { faults: { variable: string; message: string }[] };
    for (const { variable } of faults) expect(error.message).toContain(variable);
    return faults.map(({ variable }) => variable);
  }
  return [];
};

test('nothing set means everything embedded, on loopback', () => {
  const config = loadConfig({});
  expect(config).toMatchObject({
    database: { url: undefined, poolSize: 20, statementTimeoutMs: 30_000 },
    redis: { url: undefined },
    queueBackend: 'postgres',
    kvBackend: 'postgres',
    http: { host: '127.0.0.1', port: 4_700, maxBodyBytes: 1_048_576 },
    dataDir: path.resolve('.treadle'),
    roles: ['api', 'worker', 'scheduler', 'replicator'],
    migrate: 'auto',
    shutdownGraceMs: 25_000,
    logLevel: 'info',
  });
});

test('a variable that is empty counts as not set', () => {
  expect(loadConfig({ DATABASE_URL: '', TREADLE_PORT: ' ', REDIS_URL: '' })).toEqual(loadConfig({}));
});

test('every fault is reported at once, by variable, and no value is repeated', () => {
  const env = {
    DATABASE_URL: 'mysql://user:secret-1@host/db',
    DATABASE_REPLICA_URL: 'postgres://host/db, redis://secret-4',
    DATABASE_POOL_SIZE: 'twenty',
    REDIS_URL: 'http://secret-2',
    TREADLE_PORT: '70000',
    TREADLE_ROLES: 'api,cook',
    TREADLE_RETENTION: 'completed=soon',
    TREADLE_API_KEYS: 'secret-3',
    LOG_LEVEL: 'loud',
  };
  expect(faultsOf(env).toSorted()).toEqual(Object.keys(env).toSorted());
  expect(() => loadConfig(env)).not.toThrow(/secret-[1234]/);
});

test('replicas are none, one or several', () => {
  const replicasOf = (DATABASE_REPLICA_URL: string) =>
    loadConfig({ DATABASE_URL: 'postgres://host/db', DATABASE_REPLICA_URL }).database.replicaUrls;
  expect(replicasOf('')).toEqual([]);
  expect(replicasOf('postgres://r1/db')).toEqual(['postgres://r1/db']);
  expect(replicasOf('postgres://r1/db, postgresql://r2/db')).toEqual(['postgres://r1/db', 'postgresql://r2/db']);
});

test('variables that need another one say so', () => {
  expect(faultsOf({ TREADLE_QUEUE_BACKEND: 'redis' })).toEqual(['REDIS_URL']);
  expect(faultsOf({ TREADLE_KV_BACKEND: 'redis' })).toEqual(['REDIS_URL']);
  expect(faultsOf({ DATABASE_DIRECT_URL: 'postgres://host/db' })).toEqual(['DATABASE_DIRECT_URL']);
  expect(faultsOf({ DATABASE_REPLICA_URL: 'postgres://host/db' })).toEqual(['DATABASE_REPLICA_URL']);
  expect(faultsOf({ REDIS_CERT: '/etc/tls/client.pem' })).toEqual(['REDIS_KEY']);
});

test.each(['1.5', '-1', '1e3', '0x10', '65536', 'NaN', ' '.repeat(3) + 'x'])('%s is not a port', (port) => {
  expect(faultsOf({ TREADLE_PORT: port })).toEqual(['TREADLE_PORT']);
});

describe('TREADLE_RETENTION', () => {
  const day = 86_400_000;
  test.each([
    ['completed=2d, dead=12h', { completedMs: 2 * day, deadMs: day / 2, eventsMs: 7 * day }],
    ['dead=30d/2GB', { deadMs: 30 * day, deadBytes: 2 * 1_024 ** 3 }],
    ['completed=500MB,dead=1TB/90m', { completedMs: 7 * day, completedBytes: 500 * 1_024 ** 2, deadMs: 90 * 60_000 }],
    ['searches=30d', { searchesMs: 30 * day }],
    ['', { completedMs: 7 * day, deadMs: 30 * day, idempotencyKeysMs: day, searchesMs: 90 * day }],
  ])('may be %j', (text, retention) => {
    expect(loadConfig({ TREADLE_RETENTION: text }).retention).toMatchObject(retention);
  });

  test.each([
    'dead=0d',
    'dead=2gb',
    'events=7d/1GB',
    'dead=1d/2d',
    'dead=1d/',
    'dead',
    'all=7d',
    'dead=1d=2d/x',
    'dead=-1d',
  ])('cannot be %s', (text) => {
    expect(faultsOf({ TREADLE_RETENTION: text })).toEqual(['TREADLE_RETENTION']);
  });
});

describe('TREADLE_ENCRYPTION_KEYS', () => {
  const base64 = Buffer.alloc(32, 7).toString('base64');

  test('are ids with 32 bytes each, the first of which encrypts', () => {
    const { encryptionKeys } = loadConfig({ TREADLE_ENCRYPTION_KEYS: `new:${base64}, old:${base64}` });
    expect(encryptionKeys.map(({ id }) => id)).toEqual(['new', 'old']);
  });

  test.each([base64, `k1:${base64.slice(4)}`, `k1:${base64},k1:${base64}`, `k 1:${base64}`, 'k1:'])(
    'may not be %s',
    (keys) => {
      expect(faultsOf({ TREADLE_ENCRYPTION_KEYS: keys })).toEqual(['TREADLE_ENCRYPTION_KEYS']);
    },
  );
});

describe('REDIS_URL', () => {
  test.each([
    'redis://host',
    'rediss://user:secret@host:6380/1',
    'redis://one:7000,redis://two:7001',
    'redis+sentinel://one:26379,two:26379/main',
    'rediss+sentinel://:secret@one/main?db=2&sentinelPassword=hush',
  ])('may be %s', (url) => {
    expect(loadConfig({ REDIS_URL: url })).toMatchObject({ queueBackend: 'redis', redis: { url, cacheUrl: url } });
  });

  test.each(['host:6379', 'redis+sentinel://one:26379', 'redis://one,two', 'redis+sentinel://one:99999/main'])(
    'may not be %s, and no more may REDIS_CACHE_URL',
    (url) => {
      expect(faultsOf({ REDIS_URL: url, REDIS_CACHE_URL: url })).toEqual(['REDIS_URL', 'REDIS_CACHE_URL']);
    },
  );
});

test('with a database of your own nothing migrates unless you say so', () => {
  expect(loadConfig({ DATABASE_URL: 'postgres://host/db' }).migrate).toBe('refuse');
  expect(loadConfig({ DATABASE_URL: 'postgres://host/db', TREADLE_MIGRATE: 'auto' }).migrate).toBe('auto');
});

test('a configuration can not be changed afterwards', () => {
  const config = loadConfig({});
  expect(Object.isFrozen(config)).toBe(true);
  expect(Object.isFrozen(config.database)).toBe(true);
  expect(Object.isFrozen(config.roles)).toBe(true);
});

test('what is printed shows no password and no key', () => {
  const printed = JSON.stringify(
    describeConfig(
      loadConfig({
        DATABASE_URL: 'postgres://user:hush-1@host/db',
        DATABASE_DIRECT_URL: 'postgres://user:hush-2@direct/db',
        DATABASE_REPLICA_URL: 'postgres://user:hush-7@r1/db,postgres://user:hush-8@r2/db',
        REDIS_URL: 'redis+sentinel://user:hush-3@one:26379,two:26379/main?sentinelPassword=hush-6&db=1',
        REDIS_CACHE_URL: 'redis://:hush-4@hush-4@one:7000,redis://two:7001',
        OPENAI_API_KEY: 'hush-5',
        TREADLE_API_KEYS: `ci:${'a'.repeat(64)}:jobs:read`,
        TREADLE_ENCRYPTION_KEYS: `k1:${'aaaa'.repeat(10)}aaa=`,
      }),
    ),
  );
  expect(printed).not.toMatch(/hush|aaaa/);
  expect(printed).toContain('postgres://user:***@host/db');
  expect(printed).toContain('postgres://user:***@r1/db,postgres://user:***@r2/db');
  expect(printed).toContain('one:26379,two:26379/main');
});
