import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { RedisServer } from '../services/redis-server.ts';
import { describeWithRedisProgram } from '../services/redis.ts';
import { runTreadle } from './run-treadle.ts';
import { useCommandLine } from './use-command-line.ts';

const database = useDatabase();
const commandLine = useCommandLine();
const empty = useDatabase({ schema: 'empty' });

/** A port of this machine on which nothing listens. */
const closedPort = async (): Promise<number> => {
  const server = net.createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === 'object' && address ? address.port : 0;
};

describe('treadle check', () => {
  it('prints the configuration and connects', async () => {
    const { exitCode, stdout } = await runTreadle(['check'], { env: { DATABASE_URL: database.url } });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^DATABASE_POOL_SIZE +20$/m);
    expect(stdout).toMatch(/ok +DATABASE_URL: connected/);
    expect(stdout).toMatch(/ok +schema: up to date/);
  });

  it('says which variables it does not know, and what may have been meant', async () => {
    const env = { DATABASE_URL: database.url, TREADLE_CONCURENCY: '5', REDIS_CAHCE_URL: '', TREADLE_COLOUR: 'red' };
    const { exitCode, stdout } = await commandLine(['check'], env);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^unknown +TREADLE_CONCURENCY: .*did you mean TREADLE_CONCURRENCY\?$/m);
    expect(stdout).toMatch(/^unknown +REDIS_CAHCE_URL: .*did you mean REDIS_CACHE_URL\?$/m);
    expect(stdout).toMatch(/^unknown +TREADLE_COLOUR: Treadle reads no such variable$/m);
  });

  it('loads the indexes of an app, and looks whether their tables are there', async () => {
    const check = async (modules: string): Promise<string> => {
      const env = {
        DATABASE_URL: database.url,
        ELASTICSEARCH_URL: 'http://127.0.0.1:1',
        TREADLE_INDEXES: modules,
      };
      return (await runTreadle(['check'], { env })).stdout;
    };
    const folder = path.join(import.meta.dirname, '../domain/search');
    expect(await check(path.join(folder, 'not-there.ts'))).toMatch(/^FAILED +TREADLE_INDEXES: .*there is no file/m);
    expect(await check(path.join(folder, 'bad-indexes/empty.ts'))).toMatch(/^FAILED .*brings no index$/m);
    expect(await check(path.join(folder, 'shop-indexes.ts'))).toMatch(/^FAILED .*parts: there is no table shop.part$/m);
  });

  it('masks passwords', async () => {
    const url = new URL(database.url);
    url.password = 'hunter2hunter2';
    const { stdout, stderr } = await commandLine(['check'], { DATABASE_URL: url.href, OPENAI_API_KEY: 'sk-secret' });
    expect(stdout).toContain('***');
    expect(stdout + stderr).not.toMatch(/hunter2|sk-secret/);
  });

  it('names every variable that is wrong, and repeats no value', async () => {
    const env = { DATABASE_URL: 'mysql://root:pw@x/y', TREADLE_PORT: 'seventy', TREADLE_ROLES: 'cook' };
    const { exitCode, stderr } = await commandLine(['check'], env);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/DATABASE_URL must be a URL/);
    expect(stderr).toMatch(/TREADLE_PORT must be a whole number/);
    expect(stderr).toMatch(/TREADLE_ROLES must be/);
    expect(stderr).not.toMatch(/mysql|seventy|cook/);
  });

  it('says that nobody listens', async () => {
    const url = `postgres://someone:secret@127.0.0.1:${await closedPort()}/app`;
    const { exitCode, stdout, stderr } = await commandLine(['check'], { DATABASE_URL: url });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/FAILED +DATABASE_URL: .*nothing listens there/);
    expect(stdout + stderr).not.toContain('secret');
  });

  it('says that there is no such database', async () => {
    const url = new URL(database.url);
    url.pathname = '/no_such_database';
    const { exitCode, stdout } = await commandLine(['check', '--json'], { DATABASE_URL: url.href });
    expect(exitCode).toBe(1);
    const { ok, checks } = JSON.parse(stdout) as {
      ok: boolean;
      checks: { name: string; status: string; detail: string }[];
    };
    expect(ok).toBe(false);
    expect(checks[0]).toMatchObject({
      name: 'DATABASE_URL',
      status: 'failed',
      detail: expect.stringContaining('no such database'),
    });
  });

  it('names the command that brings an old schema up to date, and leaves it as it is', async () => {
    const { exitCode, stdout } = await commandLine(['check'], { DATABASE_URL: empty.url });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/FAILED +schema: .*treadle migrate up/);
    const schemas = await empty.query(`SELECT FROM pg_namespace WHERE nspname = 'treadle'`);
    expect(schemas).toEqual([]);
  });

  // Each waits for what does not come: beside each other.
  it.concurrent('says that Redis does not answer', async () => {
    const env = { DATABASE_URL: database.url, REDIS_URL: `redis://127.0.0.1:${await closedPort()}` };
    const { exitCode, stdout, stderr } = await runTreadle(['check'], { env });
    expect([exitCode, stderr]).toEqual([1, '']);
    expect(stdout).toMatch(/FAILED +REDIS_URL: REDIS_URL .*nothing listens there/);
  });

  it.concurrent('names the variable of the Redis that does not answer', async () => {
    const env = { DATABASE_URL: database.url, REDIS_CACHE_URL: `redis://127.0.0.1:${await closedPort()}` };
    const { exitCode, stdout } = await runTreadle(['check'], { env });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/FAILED +REDIS_CACHE_URL: REDIS_CACHE_URL .*nothing listens there/);
    expect(stdout).toMatch(/not set REDIS_URL/);
  });

  it('starts no embedded server', async () => {
    const dataDir = path.join(os.tmpdir(), `treadle-check-${process.pid}`);
    const { exitCode, stdout } = await commandLine(['check'], { TREADLE_DATA_DIR: dataDir });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/embedded Postgres: not running/);
  });
});

describeWithRedisProgram('treadle check with Redis', (program) => {
  it('says that a Redis for queues may evict, which is no failure', async () => {
    const server = await RedisServer.start(program, { args: ['--maxmemory-policy', 'volatile-lru'] });
    try {
      const env = { DATABASE_URL: database.url, REDIS_URL: server.url };
      const { exitCode, stdout } = await commandLine(['check'], env);
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(/WARNING REDIS_URL: connected, but its maxmemory-policy is volatile-lru.* noeviction/);
      const onPostgres = await commandLine(['check'], { ...env, TREADLE_QUEUE_BACKEND: 'postgres' });
      expect(onPostgres.stdout).toMatch(/ok +REDIS_URL: connected$/m);
    } finally {
      await server.stop();
    }
  });
});

describe('other commands with a wrong DATABASE_URL', () => {
  it('end with exit code 1 and say what to do', async () => {
    const url = `postgres://someone:secret@127.0.0.1:${await closedPort()}/app`;
    const { exitCode, stdout, stderr } = await commandLine(['jobs', 'list'], { DATABASE_URL: url });
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^treadle: DATABASE_URL \(127\.0\.0\.1:\d+\): nothing listens there\n.*treadle check/);
    expect(stderr).not.toMatch(/secret|    at /);
  });

  it('tell machines the code', async () => {
    const url = `postgres://someone:secret@127.0.0.1:${await closedPort()}/app`;
    const { exitCode, stderr } = await commandLine(['jobs', 'list', '--json'], { DATABASE_URL: url });
    expect(exitCode).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'DB_CONNECTION_ERROR' } });
  });
});

describe('treadle migrate', () => {
  const own = useDatabase({ schema: 'empty' });

  it('applies what is pending once, shows it, and takes it back', async () => {
    const env = { DATABASE_URL: own.url };
    const before = await commandLine(['migrate', 'status'], env);
    expect(before.stdout).toMatch(/001_foundation +pending/);
    const up = await commandLine(['migrate', 'up'], env);
    expect([up.exitCode, up.stderr]).toEqual([0, '']);
    expect(up.stdout).toMatch(/^Applied 001_foundation, .*bullmq, pgboss\.$/m);
    expect((await commandLine(['migrate', 'up', '--json'], env)).stdout).toBe('{"applied":[]}\n');
    const after = await commandLine(['migrate', 'status', '--json'], env);
    expect(JSON.parse(after.stdout)).toMatchObject({ upToDate: true });
    const down = await commandLine(['migrate', 'down', '--json'], env);
    expect((JSON.parse(down.stdout) as { takenBack: string[] }).takenBack).toHaveLength(1);
  });
});
