import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { finishJobs } from '../../src/queues/ledger/ledger-writer.ts';
import { openEvents, type EventClient } from './event-client.ts';
import { useApi } from './use-api.ts';

const api = useApi({ heartbeatMs: 50 });
let port = 0;
beforeAll(async () => {
  port = Number(new URL(await api.server.listen()).port);
});

/** Follows an event stream over a real socket. */
const open = (path: string): Promise<EventClient> => openEvents({ port, path });

const accept = async (): Promise<string> =>
  (await api.call('POST', '/v1/jobs', { body: { name: 'app.greet', payload: { to: 'Ada' } } })).body.id;
const complete = (id: string) =>
  finishJobs(api.platform.postgres, [{ id, state: 'completed', resultJson: '{"greeted":true}' }]);
const states = (text: string): string[] =>
  [...text.matchAll(/^event: state\ndata: (.*)$/gm)].map((match) => JSON.parse(match[1] ?? '{}').state);
/** How many watchers of jobs there are in this process. */
const watchers = async () => api.platform.postgres.getConnectionStatus().active;

describe('GET /v1/jobs/:id/events', () => {
  test('tells the state at once and at each change, and ends with the job', async () => {
    const id = await accept();
    const stream = await open(`/v1/jobs/${id}/events`);
    expect(stream.status).toBe(200);
    expect(stream.type).toBe('text/event-stream; charset=utf-8');
    await api.until(async () => states(stream.text).length === 1);
    await complete(id);
    await stream.ended;
    expect(states(stream.text)).toEqual(['accepted', 'completed']);
    expect(stream.text).toContain('"result":{"greeted":true}');
  });

  test('of a finished job tells its end and is over', async () => {
    const id = await accept();
    await complete(id);
    const stream = await open(`/v1/jobs/${id}/events`);
    await stream.ended;
    expect(states(stream.text)).toEqual(['completed']);
  });

  test('says that it lives while nothing happens', async () => {
    const stream = await open(`/v1/jobs/${await accept()}/events`);
    await api.until(async () => stream.text.split(': alive\n\n').length > 3);
    expect(states(stream.text)).toEqual(['accepted']);
    stream.leave();
  });

  test('a client that leaves is no longer served', async () => {
    const stream = await open(`/v1/jobs/${await accept()}/events`);
    await api.until(async () => states(stream.text).length === 1);
    stream.leave();
    await stream.ended;
    await api.until(
      () =>
        new Promise<boolean>((resolve, reject) => {
          api.server.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count === 0)));
        }),
    );
    expect(await watchers()).toBe(0);
  });

  test('an unknown job is an ordinary 404', async () => {
    const stream = await open('/v1/jobs/00000000-0000-7000-8000-000000000000/events');
    await stream.ended;
    expect(stream.status).toBe(404);
    expect(JSON.parse(stream.text).error.code).toBe('NOT_FOUND');
  });
});

describe('GET /v1/jobs/:id/wait', () => {
  test('answers when the job has finished', async () => {
    const id = await accept();
    const waiting = api.call('GET', `/v1/jobs/${id}/wait?timeoutMs=10000`);
    await api.until(
      async () => (await api.database.query('SELECT FROM treadle.jobs WHERE id = $1 AND watched', [id])).length,
    );
    await complete(id);
    const answer = await waiting;
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ id, state: 'completed', result: { greeted: true } });
  });

  test('answers 202 with the present state at the time-out', async () => {
    const id = await accept();
    const answer = await api.call('GET', `/v1/jobs/${id}/wait?timeoutMs=50`);
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ id, state: 'accepted' });
  });

  test.each(['timeoutMs=-1', 'timeoutMs=300001', 'timeoutMs=soon'])('refuses %s', async (query) => {
    const answer = await api.call('GET', `/v1/jobs/${await accept()}/wait?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe('timeoutMs');
  });
});

describe('closing the server', () => {
  const left: EventClient[] = [];
  afterAll(() => left.forEach((stream) => stream.leave()));

  test('ends event streams and waits at once', async () => {
    const id = await accept();
    const stream = await open(`/v1/jobs/${id}/events`);
    left.push(stream);
    await api.until(async () => states(stream.text).length === 1);
    const waiting = open(`/v1/jobs/${id}/wait?timeoutMs=60000`);
    await api.until(
      async () => (await api.database.query('SELECT FROM treadle.jobs WHERE id = $1 AND watched', [id])).length,
    );
    const startedAt = Date.now();
    await api.server.close();
    await stream.ended;
    expect((await waiting).status).toBe(202);
    expect(Date.now() - startedAt).toBeLessThan(5_000);
  });
});
