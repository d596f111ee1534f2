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
    http: { host: '127.0.0.1', port: 4_700, maxBodyBytes: 1_048_576 },
    dataDir: path.resolve('.treadle'),
    roles: ['api', 'worker', 'scheduler'],
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
    DATABASE_POOL_SIZE: 'twenty',
    REDIS_URL: 'http://secret-2',
    TREADLE_PORT: '70000',
    TREADLE_ROLES: 'api,cook',
    TREADLE_RETENTION: 'completed=soon',
    TREADLE_API_KEYS: 'secret-3',
    LOG_LEVEL: 'loud',
  };
  expect(faultsOf(env).toSorted()).toEqual(Object.keys(env).toSorted());
  expect(() => loadConfig(env)).not.toThrow(/secret-[123]/);
});

test('variables that need another one say so', () => {
  expect(faultsOf({ TREADLE_QUEUE_BACKEND: 'redis' })).toEqual(['REDIS_URL']);
  expect(faultsOf({ DATABASE_DIRECT_URL: 'postgres://host/db' })).toEqual(['DATABASE_DIRECT_URL']);
});

test.each(['1.5', '-1', '1e3', '0x10', '65536', 'NaN', ' '.repeat(3) + 'x'])('%s is not a port', (port) => {
  expect(faultsOf({ TREADLE_PORT: port })).toEqual(['TREADLE_PORT']);
});

describe('REDIS_URL', () => {
  test.each([
    'redis://host',
    'rediss://user:secret@host:6380/1',
    'redis://one:7000,redis://two:7001',
    'redis+sentinel://one:26379,two:26379/main',
    'redis+sentinel://:secret@one/main/2',
  ])('may be %s', (url) => {
    expect(loadConfig({ REDIS_URL: url })).toMatchObject({ queueBackend: 'redis', redis: { url, cacheUrl: url } });
  });

  test.each(['host:6379', 'redis+sentinel://one:26379', 'redis://one,two', 'redis+sentinel://one:99999/main'])(
    'may not be %s',
    (url) => {
      expect(faultsOf({ REDIS_URL: url })).toEqual(['REDIS_URL']);
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
        REDIS_URL: 'redis+sentinel://user:hush-3@one:26379,two:26379/main',
        REDIS_CACHE_URL: 'redis://:hush-4@one:7000,redis://:hush-4@two:7001',
        OPENAI_API_KEY: 'hush-5',
        TREADLE_API_KEYS: `ci:${'a'.repeat(64)}:jobs:read`,
      }),
    ),
  );
  expect(printed).not.toMatch(/hush|aaaa/);
  expect(printed).toContain('postgres://user:***@host/db');
  expect(printed).toContain('one:26379,two:26379/main');
});
