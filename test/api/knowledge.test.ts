import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();
const base = '/v1/workspaces/notes/knowledge';
beforeAll(async () => {
  await api.platform.workspaces.create({ name: 'notes' });
  await api.platform.workspaces.create({ name: 'with-none' });
});
const create = async (body: Record<string, unknown> = {}) => {
  const answer = await api.call('POST', base, { body: { title: 'Looms', ...body } });
  expect(answer.status).toBe(201);
  return answer.body;
};

describe('documents', () => {
  test('are written, read, listed, and enqueue their embedding', async () => {
    const answer = await api.call('POST', base, {
      body: {
        title: 'Treadles',
        content: 'A treadle drives a loom.',
        tags: ['weaving'],
        status: 'published',
        author: { name: 'Ada' },
      },
    });
    expect(answer.status).toBe(201);
    expect(answer.headers['etag']).toBe('"1"');
    expect(answer.body).toMatchObject({ title: 'Treadles', tags: ['weaving'], version: 1, author: { name: 'Ada' } });
    expect(String(answer.headers['location'])).toBe(
      `/v1/workspaces/${answer.body.workspaceId}/knowledge/${answer.body.id}`,
    );
    expect((await api.call('GET', `${base}/${answer.body.id}`)).body).toEqual(answer.body);
    expect((await api.call('GET', String(answer.headers['location']))).body).toEqual(answer.body);
    const list = await api.call('GET', `${base}?tag=weaving&status=published`);
    expect(list.body.items).toEqual([answer.body]);
    expect((await api.call('GET', `${base}?tag=weaving&tag=other`)).body.items).toEqual([]);
    const jobs = await api.call('GET', `/v1/jobs?queue=embeddings&tenant=${answer.body.workspaceId}`);
    expect(jobs.body.items).toContainEqual(
      expect.objectContaining({ payload: expect.objectContaining({ documentId: answer.body.id }) }),
    );
  });

  test('are changed with If-Match; whoever is late is told the version there is', async () => {
    const { id } = await create();
    const patch = (version: string, body: Record<string, unknown>) =>
      api.call('PATCH', `${base}/${id}`, { headers: { 'if-match': version }, body });
    const first = await patch('"1"', { content: 'New', changeSummary: 'rewritten' });
    expect(first.status).toBe(200);
    expect(first.headers['etag']).toBe('"2"');
    const late = await patch('1', { content: 'Lost' });
    expect(late.status).toBe(409);
    expect(late.body.error).toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      details: { entity: 'knowledge', entityId: id, expected: 1, actual: 2 },
    });
    expect((await patch('2', { title: 'Newer' })).body).toMatchObject({ version: 3, content: 'New', title: 'Newer' });
    const versions = await api.call('GET', `${base}/${id}/versions`);
    expect(versions.body.items.map(({ versionNumber }: { versionNumber: number }) => versionNumber)).toEqual([3, 2, 1]);
    expect(versions.body.items[1]).toMatchObject({ changeSummary: 'rewritten', actor: 'local', changed: ['content'] });
  });

  test('changed by twenty at once take one change of each version', async () => {
    const { id } = await create();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, number) =>
        api.call('PATCH', `${base}/${id}`, { headers: { 'if-match': '1' }, body: { content: `by ${number}` } }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(19);
  });

  test('are deleted with If-Match', async () => {
    const { id } = await create();
    const remove = (headers: Record<string, string>) => api.call('DELETE', `${base}/${id}`, { headers });
    expect((await remove({ 'if-match': '7' })).status).toBe(409);
    expect((await remove({})).status).toBe(400);
    expect((await remove({ 'if-match': '1' })).status).toBe(204);
    expect((await api.call('GET', `${base}/${id}`)).status).toBe(404);
    expect((await remove({ 'if-match': '1' })).status).toBe(404);
  });

  test.each(['', '*', 'W/"1"', '"one"', '0', '-1', '1.5', '99999999999999999999'])(
    'If-Match %j is 400',
    async (version) => {
      const { id } = await create();
      const answer = await api.call('PATCH', `${base}/${id}`, {
        headers: { 'if-match': version },
        body: { title: 'x' },
      });
      expect(answer.status).toBe(400);
      expect(answer.body.error.details.faults[0].path).toBe('if-match');
    },
  );

  test('name every fault of their fields', async () => {
    const answer = await api.call('POST', base, {
      body: { title: '', status: 'secret', tags: 'x', authorId: 'me', size: 1 },
    });
    expect(answer.status).toBe(400);
    const paths = answer.body.error.details.faults.map(({ path }: { path: string }) => path);
    expect(paths).toEqual(expect.arrayContaining(['title', 'status', 'tags', 'authorId', 'size']));
  });

  test('of another workspace are not found in this one', async () => {
    await api.platform.workspaces.create({ name: 'elsewhere' });
    const { id } = await create();
    expect((await api.call('GET', `/v1/workspaces/elsewhere/knowledge/${id}`)).status).toBe(404);
    const headers = { 'if-match': '1' };
    expect(
      (await api.call('PATCH', `/v1/workspaces/elsewhere/knowledge/${id}`, { headers, body: { title: 'x' } })).status,
    ).toBe(404);
    expect((await api.call('DELETE', `/v1/workspaces/elsewhere/knowledge/${id}`, { headers })).status).toBe(404);
    expect((await api.call('GET', `/v1/workspaces/elsewhere/knowledge/${id}/versions`)).status).toBe(404);
  });

  test('with ids that are none are 400, with unknown ones 404', async () => {
    for (const path of ['', '/versions']) {
      expect((await api.call('GET', `${base}/seven${path}`)).status).toBe(400);
      expect((await api.call('GET', `${base}/${randomUUID()}${path}`)).status).toBe(404);
    }
  });
});

describe('tags and collections', () => {
  test('are listed with how many documents are in them', async () => {
    const made = await api.call('POST', '/v1/workspaces/notes/collections', { body: { name: 'Basics' } });
    expect(made.status).toBe(201);
    await create({ collectionId: made.body.id, tags: ['counted'] });
    const collections = await api.call('GET', '/v1/workspaces/notes/collections');
    expect(collections.body.items).toEqual([{ ...made.body, documents: 1 }]);
    const tags = await api.call('GET', '/v1/workspaces/notes/tags?limit=100');
    expect(tags.body.items).toContainEqual(expect.objectContaining({ name: 'counted', documents: 1 }));
    const again = await api.call('POST', '/v1/workspaces/notes/collections', { body: { name: 'Basics' } });
    expect(again.status).toBe(409);
    expect((await api.call('POST', '/v1/workspaces/notes/collections', { body: { name: '' } })).status).toBe(400);
  });

  test.each([
    ['tags', 'tag', { name: 'heddles' }, { name: 'shafts' }],
    ['collections', 'collection', { name: 'Heddles' }, { description: 'All about them' }],
  ])('%s are made, read, changed and deleted under their revision', async (path, entity, body, change) => {
    const url = `/v1/workspaces/notes/${path}`;
    const made = await api.call('POST', url, { body });
    expect([made.status, made.headers['etag'], made.body.revision]).toEqual([201, '"1"', 1]);
    const { id } = made.body;
    expect(made.headers['location']).toBe(`/v1/workspaces/${made.body.workspaceId}/${path}/${id}`);
    const found = await api.call('GET', String(made.headers['location']));
    expect([found.body, found.headers['etag']]).toEqual([made.body, '"1"']);
    expect((await api.call('POST', url, { body })).status).toBe(409);
    const document = await create(entity === 'tag' ? { tags: [body.name] } : { collectionId: id });

    const one = (
      method: 'PATCH' | 'DELETE',
      version: string | undefined,
      patch: object = change,
      where = `${url}/${id}`,
    ) =>
      api.call(method, where, {
        headers: version === undefined ? {} : { 'if-match': version },
        ...(method === 'PATCH' ? { body: patch } : {}),
      });
    const changed = await one('PATCH', '"1"');
    expect([changed.status, changed.headers['etag']]).toEqual([200, '"2"']);
    expect(changed.body).toMatchObject({ ...change, id, documents: 1, revision: 2 });
    for (const method of ['PATCH', 'DELETE'] as const) {
      const details = { entity, entityId: id, expected: 1, actual: 2 };
      const late = await one(method, '1');
      expect([late.status, late.body.error]).toMatchObject([409, { code: 'DATA_CONSISTENCY_ERROR', details }]);
      for (const version of ['abc', '', '0', '1.5', '*', undefined]) {
        const { status, body: answer } = await one(method, version);
        expect([version, status, answer.error.details.faults[0].path]).toEqual([version, 400, 'if-match']);
      }
      const elsewhere = `/v1/workspaces/with-none/${path}/${id}`;
      expect((await one(method, '2', change, elsewhere)).status).toBe(404);
      expect((await one(method, '2', change, `${url}/seven`)).status).toBe(400);
    }
    for (const [patch, fault] of [
      [{ name: 'x'.repeat(201) }, 'name'],
      [{ name: 'a\0' }, 'name'],
      [{ colour: 'red' }, 'colour'],
    ] as const) {
      const { status, body: answer } = await one('PATCH', '2', patch);
      expect([status, answer.error.details.faults[0].path]).toEqual([400, fault]);
    }
    const filtered = await api.call('GET', `${url}?colour=red`);
    expect([filtered.status, filtered.body.error.details.faults[0].path]).toEqual([400, 'colour']);
    expect((await one('DELETE', '2')).status).toBe(204);
    expect((await api.call('GET', `${url}/${id}`)).status).toBe(404);
    const left = await api.call('GET', `${base}/${document.id}`);
    expect(left.body).toMatchObject({ tags: [], collection: null, version: 2 });
    const [version] = (await api.call('GET', `${base}/${document.id}/versions`)).body.items;
    expect(version).toMatchObject({ versionNumber: 2, actor: 'local' });
  });

  test('of another workspace cannot be used', async () => {
    const other = await api.platform.workspaces.create({ name: 'with-collection' });
    const { id } = await api.platform.collections.create(other.id, { name: 'Theirs' });
    const answer = await api.call('POST', base, { body: { title: 'x', collectionId: id } });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe('collectionId');
  });
});
