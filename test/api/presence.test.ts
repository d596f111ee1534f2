import { beforeAll, describe, expect, test } from 'vitest';
import { builtInSchedules } from '../../src/jobs/built-in-schedules.ts';
import { openEvents, type EventClient } from './event-client.ts';
import { useApi } from './use-api.ts';

const api = useApi({ heartbeatMs: 50 });
let port = 0;
beforeAll(async () => {
  port = Number(new URL(await api.server.listen()).port);
});

const join = (document: string, user: string, socketId: string, activity?: unknown) =>
  api.call('PUT', `/v1/presence/${document}/${user}`, {
    body: { socketId, ...(activity === undefined ? {} : { activity }) },
  });
const follow = (document: string, headers: Readonly<Record<string, string>> = {}): Promise<EventClient> =>
  openEvents({ port, path: `/v1/presence/${document}/events`, headers });

interface Heard {
  readonly id: string;
  readonly event: string;
  readonly data: ReturnType<typeof JSON.parse>;
}
const heard = ({ text }: EventClient): readonly Heard[] =>
  [...text.matchAll(/^id: (.*)\nevent: (.*)\ndata: (.*)$/gm)].map(([, id = '', event = '', data = '{}']) => ({
    id,
    event,
    data: JSON.parse(data),
  }));
const hears = (client: EventClient, count: number): Promise<readonly Heard[]> =>
  api.until(async () => (heard(client).length >= count ? heard(client) : undefined));

describe('presence', () => {
  test('is joined with PUT, kept with PATCH, left with DELETE, and shown', async () => {
    const document = encodeURIComponent('plans/2027 {draft}');
    const first = await join(document, 'ada', 'tab', { cursor: 7 });
    expect([first.status, first.body]).toEqual([
      200,
      { joined: true, sequence: expect.any(Number), heartbeatWithinMs: 1_800_000 },
    ]);
    expect((await join(document, 'ada', 'tab')).body.joined).toBe(false);
    const beat = { body: { socketId: 'tab', activity: 'typing' } };
    expect((await api.call('PATCH', `/v1/presence/${document}/ada`, beat)).status).toBe(204);
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);
    const connection = { socketId: 'tab', joinedAt: time, lastSeen: time, activity: 'typing' };
    expect((await api.call('GET', `/v1/presence/${document}`)).body).toEqual({
      items: [{ userId: 'ada', ...connection, connections: [connection] }],
      nextCursor: null,
      prevCursor: null,
      sequence: first.body.sequence,
    });
    expect((await api.call('GET', '/v1/users/ada/documents')).body.items).toEqual([
      { documentId: 'plans/2027 {draft}', joinedAt: time, lastSeen: time },
    ]);
    expect((await api.call('DELETE', `/v1/presence/${document}/ada?socketId=other`)).status).toBe(404);
    expect((await api.call('DELETE', `/v1/presence/${document}/ada`)).status).toBe(204);
    for (const call of [
      await api.call('DELETE', `/v1/presence/${document}/ada`),
      await api.call('PATCH', `/v1/presence/${document}/ada`, beat),
    ])
      expect([call.status, call.body.error.details]).toEqual([404, { entity: 'presence', entityId: 'ada' }]);
    expect((await api.call('GET', `/v1/presence/${document}`)).body.items).toEqual([]);
    expect((await api.call('GET', '/v1/users/ada/documents')).body.items).toEqual([]);
  });

  test.each([
    [{}, 'socketId'],
    [{ socketId: '' }, 'socketId'],
    [{ socketId: 's', activity: 'x'.repeat(3_000) }, 'activity'],
    [{ socketId: 's', joinedAt: 'yesterday' }, 'joinedAt'],
  ])('is refused for %j with the field named', async (body, path) => {
    const answer = await api.call('PUT', '/v1/presence/d/u', { body });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe(path);
  });

  test('of many comes in pages', async () => {
    for (const user of ['c', 'a', 'b']) await join('paged', user, 's');
    const page = (await api.call('GET', '/v1/presence/paged?limit=2')).body;
    const next = (await api.call('GET', `/v1/presence/paged?limit=2&cursor=${page.nextCursor}`)).body;
    const names = [page, next].map(({ items }) => items.map(({ userId }: { userId: string }) => userId));
    expect(names).toEqual([['c', 'a'], ['b']]);
  });
});

describe('GET /v1/presence/:documentId/events', () => {
  test('tells who is there, and then who joins and leaves', async () => {
    await join('live', 'ada', 's');
    const client = await follow('live');
    expect([client.status, client.type]).toEqual([200, 'text/event-stream; charset=utf-8']);
    const [snapshot] = await hears(client, 1);
    expect(snapshot).toMatchObject({
      event: 'snapshot',
      data: { reason: 'start', complete: true, users: [{ userId: 'ada' }] },
    });
    await join('live', 'bob', 't');
    await api.call('DELETE', '/v1/presence/live/ada');
    const [, joined, left] = await hears(client, 3);
    const sequence = Number(snapshot?.id);
    expect(joined).toEqual({
      id: String(sequence + 1),
      event: 'joined',
      data: { sequence: sequence + 1, userId: 'bob', socketId: 't', reason: null, at: expect.any(String) },
    });
    expect(left).toMatchObject({ id: String(sequence + 2), event: 'left', data: { userId: 'ada', reason: 'removed' } });
    await api.until(async () => client.text.includes(': alive\n\n'));
    client.leave();
  });

  test('tells a client that comes back what it missed, or that it missed too much', async () => {
    const { sequence } = (await join('again', 'ada', 's')).body;
    await join('again', 'bob', 's');
    const client = await follow('again', { 'last-event-id': String(sequence) });
    expect((await hears(client, 1)).map(({ event, data }) => [event, data.userId])).toEqual([['joined', 'bob']]);
    client.leave();
    const stranger = await follow('again', { 'last-event-id': '17' });
    expect((await hears(stranger, 1))[0]).toMatchObject({ event: 'snapshot', data: { reason: 'missed' } });
    stranger.leave();
    const odd = await follow('again', { 'last-event-id': 'what' });
    expect((await hears(odd, 1))[0]).toMatchObject({ event: 'snapshot', data: { reason: 'start' } });
    odd.leave();
  });

  test('ends when the client leaves', async () => {
    const client = await follow('left');
    await hears(client, 1);
    client.leave();
    await client.ended;
    const connections = (): Promise<number> =>
      new Promise((resolve, reject) => {
        api.server.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
      });
    expect(await api.until(async () => (await connections()) === 0)).toBe(true);
  });
});

test('keys need presence:read to see who is there, and presence:write to say it', async () => {
  const [reader, writer] = [await api.key(['presence:read']), await api.key(['presence:write'])];
  const body = { socketId: 's' };
  expect((await api.call('PUT', '/v1/presence/keys/ada', { key: reader, body })).status).toBe(403);
  expect((await api.call('PUT', '/v1/presence/keys/ada', { key: writer, body })).status).toBe(200);
  expect((await api.call('GET', '/v1/presence/keys', { key: writer })).status).toBe(403);
  expect((await api.call('GET', '/v1/presence/keys', { key: reader })).status).toBe(200);
});

test('the cleanup is a job that comes each minute', () => {
  expect(builtInSchedules).toContainEqual(
    expect.objectContaining({ name: 'presence.clean-inactive', jobName: 'presence.clean-inactive', cron: '* * * * *' }),
  );
  expect(api.platform.registry.find('presence.clean-inactive')).toMatchObject({ queue: 'presence' });
});
