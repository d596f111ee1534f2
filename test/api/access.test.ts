import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { createServer } from '../../src/api/server.ts';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { openEvents } from './event-client.ts';
import { useApi } from './use-api.ts';

const environmentSecret = randomBytes(32).toString('base64url');
const sha256 = createHash('sha256').update(environmentSecret).digest('hex');

interface Operation {
  readonly security?: unknown;
  readonly 'x-scope'?: string;
}

describe('without keys', () => {
  const api = useApi();
  const body = { name: 'app.greet', payload: { to: 'Ada' } };

  test.each(['localhost', 'localhost:4700', '127.0.0.1:4700', '127.8.9.1', '[::1]:4700'])(
    'whoever asks %s may do everything',
    async (host) => {
      expect((await api.call('POST', '/v1/jobs', { body, headers: { host } })).status).toBe(202);
    },
  );

  test.each(['treadle.example', 'localhost.example:4700', '10.0.0.1', '127.0.0.1.nip.io', 'a b'])(
    'a Host that is not this machine (%j) is refused: a name can be made to resolve here',
    async (host) => {
      const answer = await api.call('GET', '/v1/jobs', { headers: { host } });
      expect(answer.status).toBe(403);
      expect(answer.body.error.code).toBe('FORBIDDEN');
    },
  );

  test.each(['http://evil.example', 'http://localhost:3000', 'https://localhost:4700', 'null'])(
    'another origin (%s) is refused',
    async (origin) => {
      const answer = await api.call('POST', '/v1/jobs', { body, headers: { host: 'localhost:4700', origin } });
      expect(answer.status).toBe(403);
      expect(await api.database.query('SELECT FROM treadle.jobs')).toHaveLength(5);
    },
  );

  test('its own pages may ask', async () => {
    const headers = { host: 'localhost:4700', origin: 'http://localhost:4700' };
    expect((await api.call('GET', '/v1/jobs', { headers })).status).toBe(200);
  });

  test('the server does not listen where others can reach it, and says what to change', async () => {
    const config = loadConfig({ DATABASE_URL: api.database.url, TREADLE_HOST: '0.0.0.0', TREADLE_PORT: '0' });
    const server = await createServer({ ...api.platform, config });
    await expect(server.listen()).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      details: { faults: [{ variable: 'TREADLE_HOST' }] },
    });
    // Also if it could be reached all the same, nobody is let in.
    const answer = await server.app.inject({ method: 'GET', url: '/v1/jobs', headers: { host: 'localhost' } });
    expect(answer.statusCode).toBe(401);
    await server.close();
  });

  test('a login asks for nothing', async () => {
    expect((await api.call('POST', '/login', { body: { key: 'anything' } })).status).toBe(204);
  });
});

describe('with keys', () => {
  const api = useApi({ failuresPerMinute: 1_000 });
  let admin = '';
  beforeAll(async () => {
    admin = await api.key(['admin']);
  });

  test('nobody comes in without one, from this machine neither', async () => {
    const answer = await api.call('GET', '/v1/jobs');
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="treadle"');
    expect(answer.body.error.code).toBe('UNAUTHENTICATED');
  });

  test.each(['Bearer wrong', 'Bearer', 'Basic dXNlcjpwYXNz', 'Bearer a b', `Bearer ${'x'.repeat(600)}`])(
    'with %s neither',
    async (authorization) => {
      expect((await api.call('GET', '/v1/jobs', { headers: { authorization } })).status).toBe(401);
    },
  );

  test('a key that differs from a real one in its last character is nobody', async () => {
    const last = admin.at(-1) === 'A' ? 'B' : 'A';
    expect((await api.call('GET', '/v1/jobs', { key: `${admin.slice(0, -1)}${last}` })).status).toBe(401);
  });

  test('the probes answer everybody', async () => {
    expect((await api.call('GET', '/health/live')).status).toBe(200);
    expect((await api.call('GET', '/health/ready')).status).toBe(200);
    expect((await api.call('GET', '/health/db')).status).toBe(401);
  });

  test('every route asks for its scope, and is refused without it', async () => {
    const outsider = await api.key(['actors:assert']);
    const document = (await api.call('GET', '/docs/json', { key: admin })).body;
    const routes = Object.entries<Record<string, Operation>>(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
    );
    expect(routes.length).toBeGreaterThan(25);
    for (const { path, method, operation } of routes) {
      const url = path.replaceAll('{id}', '00000000-0000-7000-8000-000000000000').replaceAll(/\{\w+\}/g, 'x');
      const answer = await api.call(method as 'GET', url, { key: outsider });
      if (path.startsWith('/health/') && operation.security === undefined) continue;
      expect([path, answer.status]).toEqual([path, 403]);
      expect(answer.body.error.details).toEqual({ scope: operation['x-scope'] });
    }
  });

  test.each([
    ['jobs:read', 'GET', '/v1/jobs'],
    ['jobs:read', 'GET', '/v1/queues'],
    ['schedules:read', 'GET', '/v1/schedules'],
    ['sagas:read', 'GET', '/v1/sagas'],
    ['events:read', 'GET', '/v1/events'],
    ['events:read', 'GET', '/v1/events/consumers'],
    ['workspaces:read', 'GET', '/v1/workspaces'],
    ['health:read', 'GET', '/health/db'],
    ['jobs:read', 'GET', '/board/api/queues'],
    ['queues:admin', 'PUT', '/board/api/queues/default/pause'],
    ['health:read', 'GET', '/metrics'],
  ] as const)('%s opens %s %s', async (scope, method, url) => {
    expect((await api.call(method, url, { key: await api.key([scope]) })).status).toBe(200);
  });

  test('the board without queues:admin shows everything and no buttons, and does nothing', async () => {
    const key = await api.key(['jobs:read']);
    const queuesFor = async (secret: string): Promise<{ readOnlyMode: boolean; allowRetries: boolean }[]> =>
      (await api.call('GET', '/board/api/queues', { key: secret })).body.queues;
    expect(
      new Set((await queuesFor(key)).map(({ readOnlyMode, allowRetries }) => `${readOnlyMode} ${allowRetries}`)),
    ).toEqual(new Set(['true false']));
    const keeper = await api.key(['jobs:read', 'queues:admin']);
    expect((await queuesFor(keeper)).some(({ readOnlyMode }) => readOnlyMode)).toBe(false);
    for (const [method, path, body] of [
      ['PUT', 'queues/default/pause', undefined],
      ['PUT', 'queues/pause', undefined],
      ['PUT', 'queues/default/empty', undefined],
      ['POST', 'queues/default/add', { name: 'app.greet', data: { to: 'Eve' } }],
    ] as const) {
      const answer = await api.call(method, `/board/api/${path}`, { key, ...(body ? { body } : {}) });
      expect([path, answer.status]).toEqual([path, 403]);
    }
    expect((await queuesFor(keeper)).length).toBeGreaterThan(0);
  });

  test('HEAD asks for a key like GET', async () => {
    expect((await api.server.app.inject({ method: 'HEAD', url: '/v1/jobs' })).statusCode).toBe(401);
  });

  test('housekeeping needs queues:admin, however it is asked for', async () => {
    const writer = await api.key(['jobs:write', 'jobs:read', 'schedules:write']);
    const prune = { name: 'maintenance.prune', payload: {} };
    const { id } = await api.platform.enqueuer.enqueueByName(prune);
    const schedule = { jobName: 'maintenance.prune', cron: '* * * * *' };
    await api.platform.schedules.put('house', schedule);
    const answers = [
      await api.call('POST', '/v1/jobs', { key: writer, body: prune }),
      await api.call('POST', '/v1/jobs/batch', { key: writer, body: { jobs: [prune] } }),
      await api.call('POST', `/v1/jobs/${id}/cancel`, { key: writer }),
      await api.call('PUT', '/v1/schedules/mine', { key: writer, body: schedule }),
      await api.call('PUT', '/v1/schedules/house', {
        key: writer,
        body: { jobName: 'app.greet', payload: { to: 'A' }, cron: '* * * * *' },
      }),
      await api.call('DELETE', '/v1/schedules/house', { key: writer }),
      await api.call('POST', '/v1/schedules/house/pause', { key: writer }),
      await api.call('POST', '/v1/schedules/house/resume', { key: writer }),
      await api.call('POST', '/v1/schedules/house/run', { key: writer }),
    ];
    for (const answer of answers) {
      expect(answer.status).toBe(403);
      expect(answer.body.error.details).toEqual({ scope: 'queues:admin' });
    }
    const keeper = await api.key(['jobs:write', 'queues:admin']);
    expect((await api.call('POST', '/v1/jobs', { key: keeper, body: prune })).status).toBe(202);
  });

  test('a revoked key is refused within a second', async () => {
    const { secret, key } = await api.server.keys.create({ name: 'short-lived', scopes: ['jobs:read'] });
    expect((await api.call('GET', '/v1/jobs', { key: secret })).status).toBe(200);
    // As another process does it.
    await api.database.query('UPDATE treadle.api_keys SET revoked_at = now() WHERE id = $1', [key.id]);
    const startedAt = Date.now();
    await api.until(async () => (await api.call('GET', '/v1/jobs', { key: secret })).status === 401);
    expect(Date.now() - startedAt).toBeLessThan(3_000);
  });

  test('a stream that a revoked key had opened ends', async () => {
    const { secret, key } = await api.server.keys.create({ name: 'listener', scopes: ['events:read'] });
    const port = Number(new URL(await api.server.listen()).port);
    const headers = { authorization: `Bearer ${secret}` };
    const stream = await openEvents({ port, path: '/v1/events/stream', headers });
    expect(stream.status).toBe(200);
    await api.until(async () => stream.text.includes(': alive'));
    await api.database.query('UPDATE treadle.api_keys SET revoked_at = now() WHERE id = $1', [key.id]);
    await stream.ended;
  });
});

describe('keys of the environment', () => {
  const api = useApi({ env: { TREADLE_API_KEYS: `ops:${sha256}:jobs:read+queues:admin` } });

  test('work, with their scopes and no others', async () => {
    expect((await api.call('GET', '/v1/jobs', { key: environmentSecret })).status).toBe(200);
    expect((await api.call('GET', '/v1/schedules', { key: environmentSecret })).status).toBe(403);
    expect((await api.call('GET', '/v1/jobs')).status).toBe(401);
  });

  test('let the server listen where others can reach it', async () => {
    const { config } = api.platform;
    const server = await createServer({
      ...api.platform,
      config: { ...config, http: { ...config.http, host: '0.0.0.0' } },
    });
    const url = await server.listen();
    const { port } = new URL(url);
    expect((await fetch(`http://127.0.0.1:${port}/v1/jobs`)).status).toBe(401);
    await server.close();
  });

  test('with a scope that does not exist stop the start, and name the variable', async () => {
    const config = loadConfig({ DATABASE_URL: api.database.url, TREADLE_API_KEYS: `ops:${sha256}:jobs:fly` });
    await expect(createServer({ ...api.platform, config })).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      details: { faults: [{ variable: 'TREADLE_API_KEYS' }] },
    });
  });
});

describe('limits', () => {
  const api = useApi({ requestsPerMinute: 5, failuresPerMinute: 3 });
  let one = '';
  let two = '';
  beforeAll(async () => {
    one = await api.key(['jobs:read']);
    two = await api.key(['jobs:read']);
  });

  test('are counted by key, and answered with 429 and when to come back', async () => {
    for (let count = 0; count < 5; count += 1)
      expect((await api.call('GET', '/v1/jobs', { key: one })).status).toBe(200);
    const answer = await api.call('GET', '/v1/jobs', { key: one });
    expect(answer.status).toBe(429);
    expect(answer.body.error.code).toBe('RATE_LIMITED');
    expect(answer.body.error.details.retryAfterMs).toBeGreaterThan(0);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect((await api.call('GET', '/v1/jobs', { key: two })).status).toBe(200);
    expect((await api.call('GET', '/health/live')).status).toBe(200);
  });

  test('meet whoever tries keys, and not those who have one', async () => {
    for (let count = 0; count < 3; count += 1)
      expect((await api.call('GET', '/v1/jobs', { key: `guess-${count}` })).status).toBe(401);
    expect((await api.call('GET', '/v1/jobs', { key: 'guess-4' })).status).toBe(429);
    expect((await api.call('GET', '/v1/jobs', { key: two })).status).toBe(200);
  });
});
