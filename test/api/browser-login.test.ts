import { beforeAll, describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

describe('browsers', () => {
  const api = useApi();
  let key = '';
  let port = 0;
  beforeAll(async () => {
    key = await api.key(['queues:admin', 'jobs:read', 'jobs:write']);
    port = Number(new URL(await api.server.listen()).port);
  });
  const origin = () => `http://localhost:${port}`;
  const logIn = async (): Promise<{ cookie: string; attributes: string }> => {
    const answer = await api.call('POST', '/login', {
      body: { key },
      headers: { host: `localhost:${port}`, origin: origin(), 'sec-fetch-site': 'same-origin' },
    });
    expect(answer.status).toBe(204);
    const attributes = String(answer.headers['set-cookie']);
    return { cookie: attributes.split(';')[0] ?? '', attributes };
  };
  const page = { accept: 'text/html,application/xhtml+xml' };

  test.each(['/board', '/board/queue/default', '/docs', '/docs/static/index.html'])(
    'that open %s without a login are sent to the login page, and find their way back',
    async (url) => {
      const answer = await api.call('GET', url, { headers: page });
      expect(answer.status).toBe(303);
      expect(answer.headers['location']).toBe(`/login?next=${encodeURIComponent(url)}`);
      expect((await api.call('GET', url)).status).toBe(401);
    },
  );

  test('log in with a key for a cookie that scripts cannot read and other sites cannot send', async () => {
    const { cookie, attributes } = await logIn();
    expect(attributes).toMatch(/HttpOnly/);
    expect(attributes).toMatch(/SameSite=Strict/);
    expect(attributes).toMatch(/Path=\//);
    expect(attributes).not.toContain(key);
    expect((await api.call('GET', '/board/', { headers: { ...page, cookie } })).status).toBe(200);
    expect((await api.call('GET', '/docs/', { headers: { ...page, cookie } })).status).toBe(200);
    expect((await api.call('GET', '/v1/jobs', { headers: { cookie } })).status).toBe(200);
    expect((await api.call('GET', '/v1/schedules', { headers: { cookie } })).status).toBe(403);
  });

  test('behind TLS get a cookie for TLS only', async () => {
    const answer = await api.call('POST', '/login', {
      body: { key },
      headers: { host: 'treadle.example', origin: 'https://treadle.example' },
    });
    expect(String(answer.headers['set-cookie'])).toMatch(/Secure/);
  });

  test.each([
    ['another origin', { origin: 'http://evil.example' }],
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['another port of this machine', { origin: 'http://localhost:1', 'sec-fetch-site': 'same-site' }],
  ])('cannot be made to change something by %s', async (_who, headers) => {
    const { cookie } = await logIn();
    const body = { name: 'app.greet', payload: { to: 'A' } };
    const answer = await api.call('POST', '/v1/jobs', {
      body,
      headers: { host: `localhost:${port}`, cookie, ...headers },
    });
    expect(answer.status).toBe(403);
    const login = await api.call('POST', '/login', {
      body: { key },
      headers: { host: `localhost:${port}`, ...headers },
    });
    expect(login.status).toBe(403);
    const own = { host: `localhost:${port}`, origin: origin(), cookie };
    expect((await api.call('POST', '/v1/jobs', { body, headers: own })).status).toBe(202);
  });

  test('log out for good', async () => {
    const { cookie } = await logIn();
    const answer = await api.call('POST', '/logout', {
      headers: { host: `localhost:${port}`, origin: origin(), cookie },
    });
    expect(answer.status).toBe(204);
    expect((await api.call('GET', '/v1/jobs', { headers: { cookie } })).status).toBe(401);
  });

  test('are out when their key is revoked, or the login is old', async () => {
    const { cookie } = await logIn();
    await api.database.query("UPDATE treadle.browser_logins SET expires_at = now() - interval '1 second'");
    expect((await api.call('GET', '/v1/jobs', { headers: { cookie } })).status).toBe(401);
    const second = await logIn();
    await api.server.keys.create({ name: 'keeps the server closed', scopes: ['admin'] });
    await api.server.keys.revoke('key 1');
    expect((await api.call('GET', '/v1/jobs', { headers: { cookie: second.cookie } })).status).toBe(401);
  });

  test('that give a wrong key are told so', async () => {
    const answer = await api.call('POST', '/login', {
      body: { key: 'wrong' },
      headers: { origin: 'http://localhost', host: 'localhost' },
    });
    expect(answer.status).toBe(401);
    expect(answer.headers['set-cookie']).toBeUndefined();
  });

  test('get a page that asks for nothing remote and runs no inline script', async () => {
    const answer = await api.call('GET', '/login');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-security-policy']).toContain("script-src 'self'");
    expect(answer.body).not.toMatch(/https?:\/\/|<script>|style=/);
    expect((await api.call('GET', '/login/login.js')).headers['content-type']).toContain('javascript');
    expect((await api.call('GET', '/login/login.css')).headers['content-type']).toContain('css');
  });
});
