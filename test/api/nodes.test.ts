import { describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();

const workspace = async (): Promise<string> => {
  const name = `w${Math.random().toString(36).slice(2)}`;
  await api.platform.workspaces.create({ name });
  return name;
};

const create = async (ws: string, feature: string, body: object) =>
  (await api.call('POST', `/v1/nodes/${feature}?workspace=${ws}`, { body })).body;

test('an entity and its elements are made, read, changed and deleted', async () => {
  const ws = await workspace();
  const made = await api.call('POST', `/v1/nodes/function-model?workspace=${ws}`, {
    body: { name: 'Onboarding', data: { tags: ['hr'] }, changeSummary: 'First' },
  });
  expect(made).toMatchObject({
    status: 201,
    headers: { etag: '"1"' },
    body: { name: 'Onboarding', type: 'function-model' },
  });
  const url = `/v1/nodes/function-model/${made.body.entityId}`;
  const element = await create(ws, 'function-model', {
    entityId: made.body.entityId,
    nodeId: 'a',
    name: 'Sign',
    type: 'step',
  });
  expect(element).toMatchObject({ nodeId: 'a', name: 'Sign', type: 'step', revision: 2 });
  const read = await api.call('GET', `${url}?workspace=${ws}`);
  expect(read).toMatchObject({
    status: 200,
    headers: { etag: '"2"' },
    body: { data: { tags: ['hr'], nodes: [{ id: 'a' }] } },
  });
  const stale = await api.call('PATCH', `${url}?workspace=${ws}`, {
    body: { name: 'x' },
    headers: { 'if-match': '1' },
  });
  expect(stale).toMatchObject({
    status: 409,
    body: { error: { code: 'DATA_CONSISTENCY_ERROR', details: { actual: 2 } } },
  });
  const renamed = await api.call('PATCH', `${url}/elements/a?workspace=${ws}`, {
    body: { name: 'Shake hands' },
    headers: { 'if-match': '2' },
  });
  expect(renamed).toMatchObject({ status: 200, body: { nodeId: 'a', name: 'Shake hands', revision: 3 } });
  const list = await api.call('GET', `/v1/nodes/function-model?workspace=${ws}&tag=hr`);
  expect(list.body).toMatchObject({
    items: [{ entityId: made.body.entityId, name: 'Onboarding', revision: 3 }],
    nextCursor: null,
  });
  const events = await api.call('GET', `${url}/events?workspace=${ws}&asOf=${encodeURIComponent(read.body.updatedAt)}`);
  expect(
    events.body.items.map(({ revision, changeSummary }: Record<string, unknown>) => [revision, changeSummary]),
  ).toEqual([
    [3, null],
    [2, null],
    [1, 'First'],
  ]);
  expect(events.body.items[0].actor).toBe('local');
  expect((await api.call('DELETE', `${url}/elements/a?workspace=${ws}`, { headers: { 'if-match': '3' } })).status).toBe(
    204,
  );
  expect((await api.call('GET', `${url}/elements/a?workspace=${ws}`)).status).toBe(404);
  expect((await api.call('DELETE', `${url}?workspace=${ws}`, { headers: { 'if-match': '4' } })).status).toBe(204);
  expect((await api.call('GET', `${url}?workspace=${ws}`)).status).toBe(404);
});

test('links are made, listed, followed and removed', async () => {
  const ws = await workspace();
  const [a, b] = [await create(ws, 'spindle', { name: 'A' }), await create(ws, 'event-storm', { name: 'B' })];
  const ends = {
    source: { featureType: 'spindle', entityId: a.entityId },
    target: { featureType: 'event-storm', entityId: b.entityId },
  };
  const made = await api.call('POST', `/v1/links?workspace=${ws}`, { body: { ...ends, linkType: 'documents' } });
  expect(made).toMatchObject({ status: 201, body: { linkType: 'documents', color: '#F59E0B', createdBy: 'local' } });
  expect(
    (await api.call('POST', `/v1/links?workspace=${ws}`, { body: { ...ends, linkType: 'documents' } })).status,
  ).toBe(409);
  expect((await api.call('POST', `/v1/links?workspace=${ws}`, { body: { ...ends, linkType: 'likes' } })).status).toBe(
    400,
  );
  const around = await api.call('GET', `/v1/nodes/spindle/${a.entityId}/links?workspace=${ws}`);
  expect(around.body.items).toMatchObject([{ linkId: made.body.linkId }]);
  const same = await api.call('GET', `/v1/links?workspace=${ws}&featureType=event-storm&entityId=${b.entityId}`);
  expect(same.body).toEqual(around.body);
  const connected = await api.call('GET', `/v1/nodes/event-storm/${b.entityId}/connected?workspace=${ws}&depth=3`);
  expect(connected.body.items).toMatchObject([{ entityId: a.entityId, name: 'A', depth: 1 }]);
  expect((await api.call('GET', '/v1/link-types')).body.items).toHaveLength(5);
  expect((await api.call('DELETE', `/v1/links/${made.body.linkId}?workspace=${ws}`)).status).toBe(204);
  expect((await api.call('DELETE', `/v1/links/${made.body.linkId}?workspace=${ws}`)).status).toBe(404);
});

test('a batch makes, changes and deletes all or nothing', async () => {
  const ws = await workspace();
  const [a, b] = [await create(ws, 'spindle', { name: 'A' }), await create(ws, 'spindle', { name: 'B' })];
  const batch = (body: object) => api.call('POST', `/v1/nodes/batch?workspace=${ws}`, { body });
  const at = ({ entityId }: { entityId: string }) => ({ featureType: 'spindle', entityId });
  const refused = await batch({
    create: [{ featureType: 'spindle', name: 'C' }],
    update: [{ ...at(a), updates: { name: 'A2' }, expectedRevision: 9 }],
    delete: [at(b)],
  });
  expect(refused.status).toBe(409);
  const faulty = await batch({
    create: [
      { featureType: 'spindle', name: 'C' },
      { featureType: 'spindle', name: 'D', data: { colour: 'red' } },
    ],
    update: [{ ...at(a), updates: { data: { status: 'lost' } } }],
    delete: [at(b)],
  });
  expect(faulty.body.error).toMatchObject({
    code: 'VALIDATION_ERROR',
    details: {
      faults: [
        { path: 'create[1].data.colour', index: 1 },
        { path: 'update[0].data.status', index: 0 },
      ],
    },
  });
  const twice = await batch({ delete: [at(b), { ...at(b), entityId: b.entityId.toUpperCase() }] });
  expect(twice.body.error.details).toEqual({
    faults: [{ path: 'delete[1].entityId', message: 'is named twice', index: 1 }],
  });
  const malformed = await batch({ delete: [{ featureType: 'spindle', entityId: 'x' }] });
  expect(malformed.body.error.details.faults).toEqual([
    { path: 'delete[0].entityId', message: 'must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057' },
  ]);
  expect((await api.call('GET', `/v1/nodes/spindle?workspace=${ws}`)).body.items).toHaveLength(2);
  const done = await batch({
    create: [{ featureType: 'spindle', name: 'C' }],
    update: [{ ...at(a), updates: { name: 'A2' } }],
    delete: [at(b)],
  });
  expect(done).toMatchObject({
    status: 200,
    body: { created: [{ name: 'C' }], updated: [{ name: 'A2' }], deleted: 1 },
  });
  const { items } = (await api.call('GET', `/v1/nodes/spindle?workspace=${ws}`)).body;
  expect(items.map(({ name }: { name: string }) => name).toSorted()).toEqual(['A2', 'C']);
});

describe('who may', () => {
  test('a bound key works in its workspace, named or not, and in no other', async () => {
    const [own, other] = [await workspace(), await workspace()];
    const { id } = await api.platform.workspaces.get(own);
    const key = await api.key(['nodes:read', 'nodes:write'], { workspaceId: id });
    const made = await api.call('POST', '/v1/nodes/spindle', { key, body: { name: 'Mine' } });
    expect(made.status).toBe(201);
    expect((await api.call('GET', `/v1/nodes/spindle/${made.body.entityId}?workspace=${own}`, { key })).status).toBe(
      200,
    );
    expect((await api.call('GET', `/v1/nodes/spindle?workspace=${other}`, { key })).status).toBe(403);
    const reader = await api.key(['nodes:read']);
    expect((await api.call('GET', '/v1/nodes/spindle', { key: reader })).body.error).toMatchObject({
      code: 'VALIDATION_ERROR',
    });
    expect(
      (await api.call('POST', `/v1/nodes/spindle?workspace=${own}`, { key: reader, body: { name: 'x' } })).status,
    ).toBe(403);
    const elsewhere = await api.call('GET', `/v1/nodes/spindle/${made.body.entityId}?workspace=${other}`, {
      key: reader,
    });
    expect(elsewhere.status).toBe(404);
  });
});

test.each([
  ['/v1/nodes/spindles?workspace=W', 'feature'],
  ['/v1/nodes/spindle?workspace=W&order=name', 'order'],
  ['/v1/nodes/spindle?workspace=W&cursor=x', 'cursor'],
  ['/v1/nodes/spindle/x?workspace=W', 'entityId'],
  ['/v1/nodes/spindle/00000000-0000-4000-8000-000000000000/connected?workspace=W&depth=99', 'depth'],
  ['/v1/nodes/spindle/00000000-0000-4000-8000-000000000000/events?workspace=W&asOf=yesterday', 'asOf'],
])('GET %s is refused with the field named', async (url, path) => {
  const key = await api.key(['nodes:read']);
  const answer = await api.call('GET', url.replace('W', await workspace()), { key });
  expect(answer).toMatchObject({ status: 400, body: { error: { code: 'VALIDATION_ERROR' } } });
  expect(answer.body.error.details.faults[0].path).toContain(path);
});
