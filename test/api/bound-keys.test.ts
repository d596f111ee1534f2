import { beforeAll, describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

describe('keys bound to a workspace', () => {
  const api = useApi();
  let own = { id: '', name: 'own' };
  let other = { id: '', name: 'other' };
  let key = '';
  beforeAll(async () => {
    own = await api.platform.workspaces.create({ name: 'own' });
    other = await api.platform.workspaces.create({ name: 'other' });
    key = await api.key(['admin'], { workspaceId: own.id });
  });

  test('work in it, by name and by id, and in no other, whether it exists or not', async () => {
    expect((await api.call('GET', '/v1/workspaces/own', { key })).status).toBe(200);
    expect((await api.call('GET', `/v1/workspaces/${own.id}/knowledge`, { key })).status).toBe(200);
    for (const ws of ['other', other.id, 'nowhere']) {
      for (const path of ['', '/knowledge', '/tags', '/collections']) {
        const answer = await api.call('GET', `/v1/workspaces/${ws}${path}`, { key });
        expect([ws, path, answer.status]).toEqual([ws, path, 403]);
      }
    }
  });

  test.each([
    'GET /v1/workspaces',
    'GET /v1/queues',
    'GET /v1/dead-letters',
    'GET /v1/schedules',
    'GET /v1/sagas',
    'GET /v1/events/consumers',
    'GET /health/db',
    'GET /board/api/queues',
    'GET /metrics',
  ])('may not %s, which names none', async (route) => {
    const [, url = ''] = route.split(' ');
    expect((await api.call('GET', url, { key })).status).toBe(403);
  });

  test('enqueue jobs of that tenant only', async () => {
    const enqueue = (body: Record<string, unknown>) =>
      api.call('POST', '/v1/jobs', { key, body: { name: 'app.greet', ...body } });
    const accepted = await enqueue({ payload: { to: 'Ada' } });
    expect(accepted.status).toBe(202);
    expect((await api.call('GET', `/v1/jobs/${accepted.body.id}`, { key })).body.tenant).toBe(own.id);
    expect((await enqueue({ payload: { to: 'Ada', workspaceId: own.id } })).status).toBe(202);
    expect((await enqueue({ payload: { to: 'Ada', workspaceId: other.id } })).status).toBe(403);
    expect((await enqueue({ payload: { to: 'Ada', workspaceId: other.id.toUpperCase() } })).status).toBe(403);
    expect((await enqueue({ payload: { to: 'Ada' }, options: { tenant: other.id } })).status).toBe(403);
    const batch = await api.call('POST', '/v1/jobs/batch', {
      key,
      body: {
        jobs: [
          { name: 'app.greet', payload: { to: 'A' } },
          { name: 'app.greet', payload: { to: 'B', workspaceId: other.id } },
        ],
      },
    });
    expect(batch.status).toBe(403);
  });

  test.each(['embeddings.backfill', 'maintenance.prune'])('do not enqueue %s for all workspaces', async (name) => {
    expect((await api.call('POST', '/v1/jobs', { key, body: { name, payload: {} } })).status).toBe(403);
    const before = await api.call('POST', '/v1/jobs', {
      key,
      body: { name: 'embeddings.backfill', payload: { workspaceId: own.id } },
    });
    expect(before.status).toBe(202);
  });

  test('do not see, touch or use as a parent the jobs of others', async () => {
    const foreign = await api.platform.enqueuer.enqueueByName({
      name: 'app.greet',
      payload: { to: 'Eve' },
      options: { tenant: other.id },
    });
    const answers = await Promise.all([
      api.call('GET', `/v1/jobs/${foreign.id}`, { key }),
      api.call('GET', `/v1/jobs/${foreign.id}/wait`, { key }),
      api.call('GET', `/v1/jobs/${foreign.id}/events`, { key }),
      api.call('POST', `/v1/jobs/${foreign.id}/cancel`, { key }),
      api.call('POST', '/v1/jobs', {
        key,
        body: { name: 'app.greet', payload: { to: 'A' }, options: { parent: foreign.id } },
      }),
      api.call('POST', '/v1/jobs/batch', {
        key,
        body: { jobs: [{ name: 'app.greet', payload: { to: 'A' }, options: { parent: foreign.id } }] },
      }),
    ]);
    expect(answers.map((answer) => answer.status)).toEqual([404, 404, 404, 404, 404, 404]);
    const list = await api.call('GET', '/v1/jobs?limit=100', { key });
    expect(list.body.items.length).toBeGreaterThan(0);
    expect(new Set(list.body.items.map((job: { tenant: string }) => job.tenant))).toEqual(new Set([own.id]));
    expect((await api.call('GET', `/v1/jobs?tenant=${other.id}`, { key })).status).toBe(403);
    expect((await api.platform.jobs.find(foreign.id))?.state).toBe('accepted');
  });

  test('end with their workspace', async () => {
    const brief = await api.platform.workspaces.create({ name: 'brief' });
    const bound = await api.key(['admin'], { workspaceId: brief.id });
    expect((await api.call('GET', '/v1/workspaces/brief', { key: bound })).status).toBe(200);
    await api.platform.workspaces.delete(brief.id);
    await api.until(async () => (await api.call('GET', '/v1/jobs', { key: bound })).status === 401);
  });
});

describe('the actor of a change', () => {
  const api = useApi();
  const actors = async (): Promise<(string | null)[]> =>
    (
      await api.database.query<{ actor: string | null }>(
        'SELECT actor FROM treadle.knowledge_versions ORDER BY created_at',
      )
    ).map(({ actor }) => actor);

  test('is local without keys, the key or its user with one, and whom X-Treadle-Actor names for keys that may', async () => {
    const workspace = await api.platform.workspaces.create({ name: 'actors' });
    const write = (call: { key?: string; headers?: Record<string, string> }) =>
      api.call('POST', '/v1/workspaces/actors/knowledge', { body: { title: 'T' }, ...call });
    expect((await write({})).status).toBe(201);

    const plain = await api.server.keys.create({ name: 'plain', scopes: ['knowledge:write'] });
    expect((await write({ key: plain.secret })).status).toBe(201);
    const [user] = await api.platform.users.ensureAuthors(workspace.id, [{ name: 'Grace' }]);
    const bound = await api.key(['knowledge:write'], { userId: user });
    expect((await write({ key: bound })).status).toBe(201);

    const asserted = { 'x-treadle-actor': 'somebody@example.com' };
    const refused = await write({ key: plain.secret, headers: asserted });
    expect(refused.status).toBe(403);
    expect(refused.body.error.details).toEqual({ scope: 'actors:assert' });
    const trusted = await api.key(['knowledge:write', 'actors:assert']);
    expect((await write({ key: trusted, headers: asserted })).status).toBe(201);
    expect((await write({ key: trusted, headers: { 'x-treadle-actor': 'x'.repeat(201) } })).status).toBe(400);

    expect(await actors()).toEqual(['local', `key:${plain.key.id}`, user, 'somebody@example.com']);
  });
});
