import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();
const accept = async (body: Record<string, unknown> = {}) =>
  (await api.call('POST', '/v1/jobs', { body: { name: 'app.greet', payload: { to: 'Ada' }, ...body } })).body;

describe('enqueueing', () => {
  test('answers 202 with the job, which can then be read', async () => {
    const answer = await api.call('POST', '/v1/jobs', {
      body: {
        name: 'app.greet',
        payload: { to: 'Ada', times: 2 },
        options: { priority: 2, tags: ['a', 'b'], tenant: 't1' },
      },
    });
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ id: expect.any(String), queue: 'default', name: 'app.greet', state: 'accepted' });

    const read = await api.call('GET', `/v1/jobs/${answer.body.id}`);
    expect(read.status).toBe(200);
    expect(read.body).toMatchObject({
      id: answer.body.id,
      payload: { to: 'Ada', times: 2 },
      priority: 2,
      tags: ['a', 'b'],
      tenant: 't1',
      attemptsAllowed: 3,
      state: 'accepted',
      result: null,
      error: null,
    });
    expect(new Date(read.body.createdAt).getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  test('takes the time of a run as text', async () => {
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const { id, state } = await accept({ options: { runAt } });
    expect(state).toBe('delayed');
    expect((await api.call('GET', `/v1/jobs/${id}`)).body.dueAt).toBe(runAt);
  });

  test('names every fault of payload and options with its path, and accepts nothing', async () => {
    const before = await api.database.query('SELECT FROM treadle.jobs');
    const answer = await api.call('POST', '/v1/jobs', {
      body: { name: 'app.greet', payload: { to: '', times: 0 }, options: { priority: 12, colour: 'red' } },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.error.code).toBe('VALIDATION_ERROR');
    const paths = answer.body.error.details.faults.map((fault: { path: string }) => fault.path);
    expect(paths).toEqual(expect.arrayContaining(['payload.to', 'payload.times', 'options.priority']));
    expect(JSON.stringify(answer.body.error.details)).toContain('colour');
    expect(await api.database.query('SELECT FROM treadle.jobs')).toHaveLength(before.length);
  });

  test('debounces, throttles and takes large payloads', async () => {
    const debounced = { options: { deduplicationKey: 'd', debounceMs: 60_000 } };
    const { id, state } = await accept(debounced);
    expect(state).toBe('delayed');
    expect((await accept({ ...debounced, payload: { to: 'Bea' } })).id).toBe(id);
    expect((await api.call('GET', `/v1/jobs/${id}`)).body.payload).toEqual({ to: 'Bea' });

    const throttled = { options: { deduplicationKey: 't', throttleMs: 60_000 } };
    expect((await accept(throttled)).state).toBe('accepted');

    const payload = { to: 'Cleo', extra: 'x'.repeat(100_000) };
    const large = await accept({ payload, options: { tags: ['large'] } });
    expect((await api.call('GET', `/v1/jobs/${large.id}`)).body.payload).toEqual(payload);
    expect((await api.call('GET', '/v1/jobs?tag=large')).body.items[0]).toMatchObject({ id: large.id, payload: null });
    const tooLarge = await api.call('POST', '/v1/jobs', {
      body: { name: 'app.greet', payload: { to: 'x'.repeat(2e6) } },
    });
    expect(tooLarge.body.error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', details: { maxBytes: 1_048_576 } });
  });

  test('answers 404 for a job that nobody defined', async () => {
    const answer = await api.call('POST', '/v1/jobs', { body: { name: 'app.unknown', payload: {} } });
    expect(answer.status).toBe(404);
    expect(answer.body.error).toMatchObject({ code: 'NOT_FOUND', details: { entityId: 'app.unknown' } });
  });

  test('names fields that do not exist', async () => {
    const answer = await api.call('POST', '/v1/jobs', { body: { name: 'app.greet', payload: { to: 'A' }, prio: 1 } });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults).toEqual([{ path: 'prio', message: 'is not a known field' }]);
  });

  test.each([
    ['NUL', '{"name":"app.greet","payload":{"to":"a\\u0000b"}}', 'payload.to'],
    ['half of a surrogate pair', '{"name":"app.greet","payload":{"to":"\\ud800"}}', 'payload.to'],
    ['NUL in a field name', '{"name":"app.greet","payload":{"a\\u0000":1}}', 'payload'],
  ])('refuses %s, and says where', async (_what, raw, path) => {
    const answer = await api.call('POST', '/v1/jobs', { raw, headers: { 'content-type': 'application/json' } });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe(path);
  });

  test('refuses a body that is nested too deeply', async () => {
    const raw = `{"name":"app.greet","payload":{"to":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`;
    const answer = await api.call('POST', '/v1/jobs', { raw, headers: { 'content-type': 'application/json' } });
    expect(answer.status).toBe(400);
    expect(answer.body.error.message).toContain('levels deep');
  });
});

describe('Idempotency-Key', () => {
  test('answers the same job for the same request, and 409 for another', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const body = { name: 'app.greet', payload: { to: 'Ada' } };
    const first = await api.call('POST', '/v1/jobs', { headers, body });
    const again = await api.call('POST', '/v1/jobs', { headers, body });
    expect(again.status).toBe(202);
    expect(again.body.id).toBe(first.body.id);
    const other = await api.call('POST', '/v1/jobs', { headers, body: { name: 'app.greet', payload: { to: 'Bob' } } });
    expect(other.status).toBe(409);
    expect(other.body.error).toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
      details: { idempotencyKey: headers['idempotency-key'] },
    });
  });

  test('makes one job of many requests at the same moment', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const body = { name: 'app.greet', payload: { to: 'Crowd' } };
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => api.call('POST', '/v1/jobs', { headers, body })),
    );
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([202]));
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
  });

  test('must not differ from the one in the options', async () => {
    const answer = await api.call('POST', '/v1/jobs', {
      headers: { 'idempotency-key': 'a' },
      body: { name: 'app.greet', payload: { to: 'A' }, options: { idempotencyKey: 'b' } },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe('options.idempotencyKey');
  });
});

describe('a batch', () => {
  test('is accepted as a whole', async () => {
    const jobs = ['a', 'b', 'c'].map((to) => ({ name: 'app.greet', payload: { to } }));
    const answer = await api.call('POST', '/v1/jobs/batch', { body: { jobs } });
    expect(answer.status).toBe(202);
    expect(answer.body.jobs).toHaveLength(3);
    const read = await api.call('GET', `/v1/jobs/${answer.body.jobs[1].id}`);
    expect(read.body.payload).toEqual({ to: 'b' });
  });

  test('is refused as a whole, with the index of every fault', async () => {
    const before = await api.database.query('SELECT FROM treadle.jobs');
    const answer = await api.call('POST', '/v1/jobs/batch', {
      body: {
        jobs: [
          { name: 'app.greet', payload: { to: 'fine' } },
          { name: 'app.nobody', payload: {} },
          { name: 'app.greet', payload: { to: '' } },
        ],
      },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults.map((fault: { index: number }) => fault.index)).toEqual([1, 2]);
    expect(await api.database.query('SELECT FROM treadle.jobs')).toHaveLength(before.length);
  });

  test('has at least one and at most 1,000 jobs, and no idempotency keys', async () => {
    const job = { name: 'app.greet', payload: { to: 'x' } };
    const many = await api.call('POST', '/v1/jobs/batch', { body: { jobs: Array.from({ length: 1_001 }, () => job) } });
    expect(many.status).toBe(400);
    expect((await api.call('POST', '/v1/jobs/batch', { body: { jobs: [] } })).status).toBe(400);
    const keyed = await api.call('POST', '/v1/jobs/batch', {
      body: { jobs: [job, { ...job, options: { idempotencyKey: 'k' } }] },
    });
    expect(keyed.status).toBe(400);
    expect(keyed.body.error.details.faults[0]).toMatchObject({ path: 'jobs[1].options.idempotencyKey', index: 1 });
  });
});

describe('listing', () => {
  test('filters, and pages in both directions without losing or repeating a job', async () => {
    const tag = `page-${randomUUID()}`;
    const ids: string[] = [];
    for (let number = 0; number < 5; number += 1) ids.unshift((await accept({ options: { tags: [tag] } })).id);
    const url = `/v1/jobs?tag=${tag}&limit=2&state=accepted&queue=default&name=app.greet`;
    const first = await api.call('GET', url);
    expect(first.status).toBe(200);
    expect(first.body.prevCursor).toBeNull();
    const second = await api.call('GET', `${url}&cursor=${first.body.nextCursor}`);
    const third = await api.call('GET', `${url}&cursor=${second.body.nextCursor}`);
    expect(third.body.nextCursor).toBeNull();
    const seen = [first, second, third].flatMap((page) => page.body.items.map((job: { id: string }) => job.id));
    expect(seen).toEqual(ids);
    const back = await api.call('GET', `${url}&cursor=${second.body.prevCursor}`);
    expect(back.body.items).toEqual(first.body.items);
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=ten', 'limit'],
    ['cursor=nonsense', 'cursor'],
    ['state=sleeping', 'state'],
    ['colour=red', 'colour'],
    ['name=a%00b', 'name'],
  ])('refuses ?%s', async (query, path) => {
    const answer = await api.call('GET', `/v1/jobs?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe(path);
  });
});

describe('one job', () => {
  test.each([
    'GET /v1/jobs/:id',
    'GET /v1/jobs/:id/wait',
    'GET /v1/jobs/:id/events',
    'POST /v1/jobs/:id/cancel',
    'POST /v1/jobs/:id/retry',
    'POST /v1/jobs/:id/promote',
  ])('%s: an id that is none is 400, an unknown one 404', async (route) => {
    const [method, url] = route.split(' ') as ['GET' | 'POST', string];
    const none = await api.call(method, url.replace(':id', 'seven'));
    expect(none.status).toBe(400);
    expect(none.body.error.details.faults[0].path).toBe('id');
    const unknown = await api.call(method, url.replace(':id', randomUUID()));
    expect(unknown.status).toBe(404);
    expect(unknown.body.error).toMatchObject({ code: 'NOT_FOUND', details: { entity: 'job' } });
  });

  test('can be cancelled, run again, promoted; what its state forbids is 409', async () => {
    const { id } = await accept({ options: { delayMs: 3_600_000 } });
    const act = (action: string) => api.call('POST', `/v1/jobs/${id}/${action}`);
    expect((await act('promote')).body).toMatchObject({ id, state: 'accepted' });
    expect((await act('promote')).status).toBe(409);
    const cancelled = await act('cancel');
    expect(cancelled.body.state).toBe('cancelled');
    expect(cancelled.body.finishedAt).not.toBeNull();
    expect((await act('cancel')).body.error.code).toBe('DATA_CONSISTENCY_ERROR');
    expect((await act('retry')).body).toMatchObject({ id, state: 'accepted' });
  });
});

describe('flows', () => {
  const greet = (to: string) => ({ name: 'app.greet', payload: { to } });

  test('answers the root, which waits for its children', async () => {
    const answer = await api.call('POST', '/v1/flows', {
      body: { ...greet('Ada'), onChildFailure: 'continue', children: [greet('Grace'), greet('Edsger')] },
    });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ name: 'app.greet', state: 'waiting-children' });
    const root = await api.call('GET', `/v1/jobs/${answer.body.id}`);
    expect(root.body).toMatchObject({ state: 'waiting-children', children: { total: 2, open: 2, failed: 0 } });
    const list = await api.call('GET', `/v1/jobs?parent=${answer.body.id}`);
    expect(list.body.items.map((job: { payload: { to: string } }) => job.payload.to)).toEqual(['Edsger', 'Grace']);
  });

  test('names every fault by its place, and accepts nothing', async () => {
    const before = await api.database.query('SELECT FROM treadle.jobs');
    const answer = await api.call('POST', '/v1/flows', {
      body: { ...greet('Ada'), children: [greet('Grace'), { ...greet(''), children: [greet('')] }] },
    });
    expect(answer.status).toBe(400);
    const paths = answer.body.error.details.faults.map((fault: { path: string }) => fault.path);
    expect(paths).toEqual(['children[1].payload.to', 'children[1].children[0].payload.to']);
    expect(await api.database.query('SELECT FROM treadle.jobs')).toHaveLength(before.length);
  });
});
