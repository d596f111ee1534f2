import { describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();

describe('workspaces', () => {
  test('are made, read by name and id, listed, changed and deleted', async () => {
    const made = await api.call('POST', '/v1/workspaces', {
      body: { name: 'handbook', displayName: 'The Handbook', timeZone: 'Europe/Berlin' },
    });
    expect(made.status).toBe(201);
    expect(made.headers['location']).toBe(`/v1/workspaces/${made.body.id}`);
    expect(made.headers['etag']).toBe('"1"');
    const found = await api.call('GET', '/v1/workspaces/handbook');
    expect([found.body, found.headers['etag']]).toEqual([made.body, '"1"']);
    expect((await api.call('GET', `/v1/workspaces/${made.body.id}`)).body).toEqual(made.body);
    expect((await api.call('GET', '/v1/workspaces')).body.items).toContainEqual(made.body);
    const headers = { 'if-match': '"1"' };
    const changed = await api.call('PATCH', '/v1/workspaces/handbook', {
      headers,
      body: { description: 'All we know' },
    });
    expect(changed.headers['etag']).toBe('"2"');
    expect(changed.body).toMatchObject({ displayName: 'The Handbook', description: 'All we know', revision: 2 });
    const late = await api.call('DELETE', '/v1/workspaces/handbook', { headers });
    expect([late.status, late.body.error]).toMatchObject([
      409,
      {
        code: 'DATA_CONSISTENCY_ERROR',
        details: { entity: 'workspace', entityId: made.body.id, expected: 1, actual: 2 },
      },
    ]);
    for (const version of ['abc', '', '0', '1.5', '*', undefined]) {
      const given = { headers: version === undefined ? {} : { 'if-match': version } };
      for (const method of ['PATCH', 'DELETE'] as const) {
        const answer = await api.call(method, '/v1/workspaces/handbook', {
          ...given,
          ...(method === 'PATCH' ? { body: {} } : {}),
        });
        expect([version, answer.status, answer.body.error.details.faults[0].path]).toEqual([version, 400, 'if-match']);
      }
    }
    expect((await api.call('DELETE', '/v1/workspaces/handbook', { headers: { 'if-match': '2' } })).status).toBe(204);
    expect((await api.call('GET', '/v1/workspaces/handbook')).status).toBe(404);
  });

  test('page by name in both directions', async () => {
    for (const name of ['page-a', 'page-b', 'page-c']) await api.call('POST', '/v1/workspaces', { body: { name } });
    const seen: string[] = [];
    let url = '/v1/workspaces?limit=1';
    for (;;) {
      const { body } = await api.call('GET', url);
      seen.push(...body.items.map(({ name }: { name: string }) => name));
      if (body.nextCursor === null) break;
      url = `/v1/workspaces?limit=1&cursor=${body.nextCursor}`;
    }
    expect(seen.filter((name) => name.startsWith('page-'))).toEqual(['page-a', 'page-b', 'page-c']);
  });

  test.each([
    [{ name: 'Has Spaces' }, 'name'],
    [{ name: 'x', timeZone: 'Nowhere' }, 'timeZone'],
    [{ name: '0198c0de-0000-7000-8000-000000000000' }, 'name'],
    [{}, 'name'],
    [{ name: 'x', owner: 'me' }, 'owner'],
  ])('refuse %j', async (body, path) => {
    const answer = await api.call('POST', '/v1/workspaces', { body });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe(path);
  });

  test('have names of their own', async () => {
    await api.call('POST', '/v1/workspaces', { body: { name: 'twice' } });
    const answer = await api.call('POST', '/v1/workspaces', { body: { name: 'twice' } });
    expect(answer.status).toBe(409);
    expect(answer.body.error.code).toBe('DATA_CONSISTENCY_ERROR');
  });

  test.each(['nowhere', '00000000-0000-7000-8000-000000000000', 'a%20b', "'; drop table x; --"])(
    'that do not exist (%s) are 404 on every route',
    async (ws) => {
      for (const path of ['', '/knowledge', '/tags', '/collections']) {
        const answer = await api.call('GET', `/v1/workspaces/${ws}${path}`);
        expect([path, answer.status]).toEqual([path, 404]);
        expect(answer.body.error.details).toMatchObject({ entity: 'workspace' });
      }
    },
  );
});
