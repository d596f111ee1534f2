import { beforeAll, expect, test } from 'vitest';
import { finishJobs } from '../../src/queues/ledger/ledger-writer.ts';
import { useApi, type Answer } from './use-api.ts';

const api = useApi();
const lists: Record<string, (query: string) => Promise<Answer>> = {};

const get =
  (url: string) =>
  (query: string): Promise<Answer> =>
    api.call('GET', `${url}${url.includes('?') ? '&' : '?'}limit=1${query}`);

const make = async (url: string, body: unknown, method: 'POST' | 'PUT' = 'POST'): Promise<{ id: string }> => {
  const { status, body: made } = await api.call(method, url, { body });
  expect(status, `${url}: ${JSON.stringify(made)}`).toBeLessThan(300);
  return made;
};
const twice = async <T>(fn: (index: number) => Promise<T>): Promise<readonly [T, T]> => [await fn(1), await fn(2)];

const addJobLists = async (): Promise<void> => {
  const dead = await twice(() => make('/v1/jobs', { name: 'app.greet', payload: { to: 'Ada' } }));
  const error = { code: 'TIMEOUT', message: 'too late' };
  for (const { id } of dead) await finishJobs(api.platform.postgres, [{ id, state: 'dead', error }]);
  for (const schedule of ['first', 'second']) {
    const body = { jobName: 'app.greet', payload: { to: 'Ada' }, everyMs: 3_600_000 };
    await make(`/v1/schedules/${schedule}`, body, 'PUT');
    await twice(() => make(`/v1/schedules/${schedule}/run`, {}));
    lists[`fires of ${schedule}`] = get(`/v1/schedules/${schedule}/fires`);
  }
  await twice(() => make('/v1/sagas', { name: 'app.greet-twice', input: { to: 'Ada' } }));
  lists['jobs'] = get('/v1/jobs');
  lists['jobs of a name'] = get('/v1/jobs?name=app.greet');
  lists['dead jobs'] = get('/v1/jobs?state=dead');
  lists['dead letters'] = get('/v1/dead-letters');
  lists['dead letters by error'] = get('/v1/dead-letters?errorCode=TIMEOUT');
  lists['sagas'] = get('/v1/sagas');
  lists['running sagas'] = get('/v1/sagas?state=running');
};

const addWorkspaceLists = async (): Promise<void> => {
  lists['workspaces'] = get('/v1/workspaces');
  for (const ws of ['north', 'south']) {
    await make('/v1/workspaces', { name: ws });
    const documents = `/v1/workspaces/${ws}/knowledge`;
    const [{ id }] = await twice((n) => make(documents, { title: `Title ${n}`, tags: ['a', 'b'] }));
    await api.call('PATCH', `${documents}/${id}`, { body: { title: 'New' }, headers: { 'if-match': '"1"' } });
    await twice((n) => make(`/v1/workspaces/${ws}/collections`, { name: `collection ${n}` }));
    const nodes = `/v1/nodes/spindle?workspace=${ws}`;
    const [spindle] = await twice((n) => make(nodes, { name: `spindle ${n}` }));
    const { entityId } = spindle as unknown as { entityId: string };
    await api.call('PATCH', `/v1/nodes/spindle/${entityId}?workspace=${ws}`, {
      body: { name: 'another' },
      headers: { 'if-match': '"1"' },
    });
    lists[`documents of ${ws}`] = get(documents);
    lists[`tagged documents of ${ws}`] = get(`${documents}?tag=a`);
    lists[`versions in ${ws}`] = get(`${documents}/${id}/versions`);
    lists[`tags of ${ws}`] = get(`/v1/workspaces/${ws}/tags`);
    lists[`collections of ${ws}`] = get(`/v1/workspaces/${ws}/collections`);
    lists[`nodes of ${ws}`] = get(nodes);
    lists[`draft nodes of ${ws}`] = get(`${nodes}&status=draft`);
    lists[`events in ${ws}`] = get(`/v1/nodes/spindle/${entityId}/events?workspace=${ws}`);
    const search = (body: Readonly<Record<string, unknown>>) => (query: string) =>
      api.call('POST', `/v1/workspaces/${ws}/search`, {
        body: { limit: 1, ...body, ...(query === '' ? {} : { cursor: query.replace('&cursor=', '') }) },
      });
    lists[`search in ${ws}`] = search({});
    lists[`search by title in ${ws}`] = search({ sort: 'title' });
  }
};

beforeAll(async () => {
  await addJobLists();
  await addWorkspaceLists();
});

test('every list refuses the cursors of all others, and of itself with other filters', async () => {
  const cursors = new Map<string, string>();
  for (const [name, list] of Object.entries(lists)) {
    const { body } = await list('');
    expect(body.nextCursor, `${name}: ${JSON.stringify(body)}`).toEqual(expect.any(String));
    cursors.set(name, body.nextCursor);
  }
  expect(cursors.size).toBe(30);
  for (const [name, list] of Object.entries(lists)) {
    for (const [owner, cursor] of cursors) {
      const { status, body } = await list(`&cursor=${cursor}`);
      const outcome = { status, faults: body.error?.details.faults.map(({ path }: { path: string }) => path) };
      const expected = name === owner ? { status: 200 } : { status: 400, faults: ['cursor'] };
      expect(outcome, `a cursor of ${owner} for ${name}`).toEqual(expected);
    }
  }
});
