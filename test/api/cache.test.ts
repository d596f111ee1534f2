import { beforeAll, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();

beforeAll(async () => {
  await api.platform.cache.initialize();
});

test('the cache says what it was asked for, and what it holds', async () => {
  await api.platform.cache.getOrCompute('thing:1', async () => ({ a: 1 }));
  await api.platform.cache.get('thing:1');
  const { status, body } = await api.call('GET', '/v1/cache/metrics');
  expect(status).toBe(200);
  expect(body).toMatchObject({
    hits: 1,
    misses: 1,
    hitRate: 0.5,
    bus: { kind: 'notify', hears: true },
    memory: { entries: 1 },
  });
  expect(body.redis).toBeUndefined();
});

test('entries are forgotten by key with what depends on it, tag, glob and expression', async () => {
  const { cache, cacheInvalidation } = api.platform;
  cacheInvalidation.registerDependency('i:1', 'i:2');
  const fill = async () => {
    for (const key of ['i:1', 'i:2', 'i:3']) await cache.set(key, key, { tags: [`tag ${key}`] });
  };
  const left = async () => [...(await cache.getBatch(['i:1', 'i:2', 'i:3'])).keys()];
  const forget = async (body: unknown) => {
    await fill();
    const answer = await api.call('POST', '/v1/cache/invalidate', { body });
    expect(answer).toMatchObject({ status: 200, body: { everywhere: true } });
    return left();
  };
  expect(await forget({ keys: ['i:1'] })).toEqual(['i:3']);
  expect(await forget({ tags: ['tag i:1', 'tag i:3'] })).toEqual(['i:2']);
  expect(await forget({ pattern: 'i:*' })).toEqual([]);
  expect(await forget({ regexp: '^i:[12]$' })).toEqual(['i:3']);
});

test('what can be no invalidation is refused, with what is wrong', async () => {
  await api.platform.cache.set(`r:${'a'.repeat(40)}`, 1);
  for (const body of [{}, { pattern: '' }, { regexp: '(' }, { keys: [] }, { regexp: '^r:(a+)+b$' }, { other: 1 }]) {
    const answer = await api.call('POST', '/v1/cache/invalidate', { body });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'VALIDATION_ERROR' } } });
  }
});

test('popular tags of a workspace', async () => {
  const { body: workspace } = await api.call('POST', '/v1/workspaces', { body: { name: 'tagged' } });
  for (const [title, tags] of [
    ['one', ['b', 'a']],
    ['two', ['b']],
  ])
    await api.call('POST', '/v1/workspaces/tagged/knowledge', { body: { title, content: '', tags } });
  const { body } = await api.call('GET', `/v1/workspaces/${workspace.id}/tags/popular?limit=2`);
  expect(body.items).toEqual([
    { id: expect.any(String), name: 'b', documents: 2 },
    { id: expect.any(String), name: 'a', documents: 1 },
  ]);
});
