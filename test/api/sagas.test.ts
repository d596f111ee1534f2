import { describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();
const unknownId = '01890a5d-ac96-774b-bcce-b302099a8057';
const start = (body: Readonly<Record<string, unknown>> = {}) =>
  api.call('POST', '/v1/sagas', { body: { name: 'app.greet-twice', input: { to: 'Ada' }, ...body } });
const idsOf = (body: { readonly items: readonly { readonly id: string }[] }): readonly string[] =>
  body.items.map(({ id }) => id);

describe('a saga', () => {
  test('is started by its name, with the job that runs it, and shown with its steps', async () => {
    const workspace = await api.platform.workspaces.create({ name: 'greetings' });
    const answer = await start({ workspaceId: workspace.id });
    expect(answer.status).toBe(202);
    const { id, jobId } = answer.body;
    const saga = {
      id,
      name: 'app.greet-twice',
      workspaceId: workspace.id,
      state: 'running',
      currentStep: null,
      error: null,
      jobId: expect.any(String),
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
      finishedAt: null,
    };
    expect(answer.body).toEqual(saga);
    expect((await api.call('GET', `/v1/jobs/${jobId}`)).body).toMatchObject({
      name: 'sagas.run',
      queue: 'sagas',
      tenant: workspace.id,
      tags: ['app.greet-twice'],
      payload: { sagaId: id, workspaceId: workspace.id },
    });
    const step = {
      state: 'pending',
      attempts: 0,
      result: null,
      error: null,
      compensationAttempts: 0,
      compensationError: null,
      startedAt: null,
      finishedAt: null,
      compensatedAt: null,
    };
    expect((await api.call('GET', `/v1/sagas/${id}`)).body).toEqual({
      ...saga,
      input: { to: 'Ada' },
      steps: [
        { ...step, position: 1, name: 'first', transactional: false },
        { ...step, position: 2, name: 'second', transactional: true },
      ],
    });
  });

  test.each([
    [{ input: { to: '', times: 0 } }, ['input.to', 'input.times']],
    [{ input: {} }, ['input.to']],
    [{ input: { to: 'a\0' } }, ['input.to']],
    [{ input: 'Ada' }, ['input']],
    [{ name: '' }, ['name']],
    [{ workspaceId: 'here' }, ['workspaceId']],
    [{ steps: [] }, ['steps']],
  ])('is refused for %j with the fields named, and nothing is written', async (body, paths) => {
    const before = await api.database.query('SELECT FROM treadle.sagas');
    const answer = await start(body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults.map(({ path }: { path: string }) => path)).toEqual(paths);
    expect(await api.database.query('SELECT FROM treadle.sagas')).toEqual(before);
  });

  test('that nobody knows, of a workspace that is not there, or that was never started is 404', async () => {
    expect((await start({ name: 'app.nothing' })).body.error).toMatchObject({
      code: 'NOT_FOUND',
      details: { entity: 'saga', entityId: 'app.nothing' },
    });
    expect((await start({ workspaceId: unknownId })).body.error).toMatchObject({
      code: 'NOT_FOUND',
      details: { entity: 'workspace', entityId: unknownId },
    });
    expect((await api.call('GET', `/v1/sagas/${unknownId}`)).status).toBe(404);
    expect((await api.call('GET', '/v1/sagas/17')).status).toBe(400);
  });
});

describe('the list of sagas', () => {
  test('comes newest first, by state and name, in pages that lead on and back', async () => {
    await api.database.query('DELETE FROM treadle.sagas');
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) ids.unshift((await start()).body.id);
    await api.database.query(
      `UPDATE treadle.sagas SET state = 'failed', finished_at = now(), error = '{"step": "first", "code": "TIMEOUT", "message": "late"}'
       WHERE id = ANY ($1::uuid[])`,
      [ids.slice(1, 3)],
    );
    expect(idsOf((await api.call('GET', '/v1/sagas')).body)).toEqual(ids);
    const failed = await api.call('GET', '/v1/sagas?state=failed&name=app.greet-twice');
    expect(idsOf(failed.body)).toEqual(ids.slice(1, 3));
    expect(failed.body.items[0].error).toEqual({ step: 'first', code: 'TIMEOUT', message: 'late' });
    expect(idsOf((await api.call('GET', '/v1/sagas?name=app.other')).body)).toEqual([]);

    const first = (await api.call('GET', '/v1/sagas?limit=2')).body;
    const second = (await api.call('GET', `/v1/sagas?limit=2&cursor=${first.nextCursor}`)).body;
    const third = (await api.call('GET', `/v1/sagas?limit=2&cursor=${second.nextCursor}`)).body;
    expect([first, second, third].flatMap(idsOf)).toEqual(ids);
    expect([first.prevCursor, third.nextCursor]).toEqual([null, null]);
    expect((await api.call('GET', `/v1/sagas?limit=2&cursor=${second.prevCursor}`)).body.items).toEqual(first.items);
  });

  test.each(['state=dead', 'cursor=x', 'limit=0', 'colour=red'])('refuses %s', async (query) => {
    expect((await api.call('GET', `/v1/sagas?${query}`)).status).toBe(400);
  });
});

test('a key may start sagas with sagas:write only, and see them with sagas:read only', async () => {
  const [reader, writer] = [await api.key(['sagas:read']), await api.key(['sagas:write'])];
  const body = { name: 'app.greet-twice', input: { to: 'Ada' } };
  expect((await api.call('POST', '/v1/sagas', { key: reader, body })).status).toBe(403);
  const started = await api.call('POST', '/v1/sagas', { key: writer, body });
  expect(started.status).toBe(202);
  expect((await api.call('GET', `/v1/sagas/${started.body.id}`, { key: writer })).status).toBe(403);
  expect((await api.call('GET', `/v1/sagas/${started.body.id}`, { key: reader })).status).toBe(200);
});
