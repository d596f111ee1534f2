import { describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();
const begin = async (userId: string, data?: unknown) =>
  (await api.call('POST', '/v1/sessions', { body: { userId, ...(data === undefined ? {} : { data }) } })).body;

describe('a session', () => {
  test('begins, is found by its id, is listed by its handle, and ends', async () => {
    const answer = await api.call('POST', '/v1/sessions', { body: { userId: 'ada', data: { device: 'phone' } } });
    expect(answer.status).toBe(201);
    expect(answer.headers['cache-control']).toBe('no-store');
    const { id, handle, ...session } = answer.body;
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);
    expect(session).toEqual({
      userId: 'ada',
      data: { device: 'phone' },
      createdAt: time,
      lastAccessedAt: time,
      expiresAt: time,
    });
    const found = await api.call('GET', `/v1/sessions/${id}`);
    expect([found.status, found.headers['cache-control'], found.body]).toEqual([200, 'no-store', session]);
    const list = await api.call('GET', '/v1/users/ada/sessions');
    expect(list.body).toEqual({ items: [{ handle, ...session }], nextCursor: null, prevCursor: null });
    expect((await api.call('GET', `/v1/sessions/${handle}`)).status).toBe(404);
    expect((await api.call('DELETE', `/v1/sessions/${id}`)).status).toBe(204);
    expect((await api.call('DELETE', `/v1/sessions/${id}`)).status).toBe(404);
    expect((await api.call('GET', `/v1/sessions/${id}`)).status).toBe(404);
  });

  test('that nobody knows is a 404 that does not repeat its id', async () => {
    const answer = await api.call('GET', '/v1/sessions/trs_guessed');
    expect(answer.status).toBe(404);
    expect(answer.body.error).toMatchObject({ code: 'NOT_FOUND', details: { entity: 'session' } });
    expect(JSON.stringify(answer.body)).not.toContain('guessed');
  });

  test('is ended by its handle, or with all others of its user', async () => {
    const user = encodeURIComponent('grace/hopper {1}');
    const [one, two] = [await begin('grace/hopper {1}'), await begin('grace/hopper {1}')];
    expect((await api.call('DELETE', `/v1/users/somebody/sessions/${one.handle}`)).status).toBe(404);
    expect((await api.call('DELETE', `/v1/users/${user}/sessions/${one.handle}`)).status).toBe(204);
    expect((await api.call('GET', `/v1/sessions/${one.id}`)).status).toBe(404);
    expect((await api.call('DELETE', `/v1/users/${user}/sessions`)).body).toEqual({ destroyed: 1 });
    expect((await api.call('GET', `/v1/sessions/${two.id}`)).status).toBe(404);
    expect((await api.call('DELETE', `/v1/users/${user}/sessions`)).body).toEqual({ destroyed: 0 });
  });

  test.each([
    [{}, 'userId'],
    [{ userId: '' }, 'userId'],
    [{ userId: 'x'.repeat(201) }, 'userId'],
    [{ userId: 'u', data: [] }, 'data'],
    [{ userId: 'u', data: { a: 'x'.repeat(17_000) } }, 'data'],
    [{ userId: 'u', data: { a: '\0' } }, 'data.a'],
    [{ userId: 'u', id: 'mine' }, 'id'],
  ])('is refused for %j with the field named', async (body, path) => {
    const answer = await api.call('POST', '/v1/sessions', { body });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults.map((fault: { path: string }) => fault.path)).toEqual([path]);
  });
});

test('keys need sessions:read to see sessions, sessions:write to begin and end them, and none may be bound to a workspace', async () => {
  const workspace = await api.platform.workspaces.create({ name: 'bound' });
  const [reader, writer] = [await api.key(['sessions:read']), await api.key(['sessions:write'])];
  const bound = await api.key(['sessions:read', 'sessions:write'], { workspaceId: workspace.id });
  const created = await api.call('POST', '/v1/sessions', { key: writer, body: { userId: 'keys' } });
  expect(created.status).toBe(201);
  const status = async (method: 'GET' | 'DELETE', url: string, key: string) =>
    (await api.call(method, url, { key })).status;
  for (const url of [`/v1/sessions/${created.body.id}`, '/v1/users/keys/sessions']) {
    expect([
      await status('GET', url, writer),
      await status('GET', url, bound),
      await status('GET', url, reader),
    ]).toEqual([403, 403, 200]);
    expect([await status('DELETE', url, reader), await status('DELETE', url, bound)]).toEqual([403, 403]);
  }
  expect(await status('DELETE', '/v1/users/keys/sessions', writer)).toBe(200);
});
