import { beforeAll, describe, expect, test } from 'vitest';
import { ConsumerPositions } from '../../src/domain/events/consumers/consumer-positions.ts';
import { uuidV7 } from '../../src/lib/ids/uuid-v7.ts';
import { openEvents, type EventClient } from './event-client.ts';
import { useApi, type Call } from './use-api.ts';

const api = useApi({ heartbeatMs: 50 });
let port = 0;
let own = { id: '', name: 'own' };
let other = { id: '', name: 'other' };
beforeAll(async () => {
  port = Number(new URL(await api.server.listen()).port);
  own = await api.platform.workspaces.create({ name: 'own' });
  other = await api.platform.workspaces.create({ name: 'other' });
});

let names = 0;
const newType = (): string => `test${(names += 1)}.happened`;
const post = (body: unknown, query = '', call: Call = {}) => api.call('POST', `/v1/events${query}`, { ...call, body });
const list = (query: string, call: Call = {}) => api.call('GET', `/v1/events?${query}`, call);
const idsOf = ({ items }: { readonly items: readonly { readonly id: string }[] }) => items.map(({ id }) => id);
const pathsOf = (body: {
  readonly error: { readonly details: { readonly faults: readonly { readonly path: string }[] } };
}) => body.error.details.faults.map(({ path }) => path);

describe('POST /v1/events', () => {
  test('publishes an event of nobody, and answers it', async () => {
    const type = newType();
    const answer = await post({ type, aggregateId: 'order 17', version: 2, data: { cents: 1_299 } });
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      id: expect.any(String),
      type,
      occurredOn: expect.any(String),
      aggregateId: 'order 17',
      version: 2,
      data: { cents: 1_299 },
      workspaceId: null,
      actor: 'local',
    });
    expect((await list(`type=${type}`)).body).toEqual({ items: [answer.body], nextCursor: null, prevCursor: null });
  });

  test('publishes a batch in its order, of a workspace, once for each id', async () => {
    const type = newType();
    const event = { id: uuidV7(), type, aggregateId: 'a', occurredOn: '2020-01-02T03:04:05.678+01:00' };
    const answer = await post({ events: [event, { type, aggregateId: 'b' }] }, '?workspace=own');
    expect(answer.status).toBe(201);
    expect(answer.body.events).toMatchObject([
      { ...event, occurredOn: '2020-01-02T02:04:05.678Z', workspaceId: own.id },
      { aggregateId: 'b', workspaceId: own.id },
    ]);
    expect((await post(event, '?workspace=own')).body).toEqual(answer.body.events[0]);
    expect((await post({ ...event, aggregateId: 'c' }, '?workspace=own')).body.error).toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      details: { entity: 'event', entityId: event.id },
    });
    expect((await list(`type=${type}`)).body.items).toHaveLength(2);
  });

  const sound = { type: 'test.refused', aggregateId: 'a' };
  test.each<[unknown, readonly string[]]>([
    [{}, ['type', 'aggregateId']],
    [{ ...sound, type: 'Order' }, ['type']],
    [{ ...sound, type: 'tag.created' }, ['type']],
    [{ ...sound, aggregateId: 'x'.repeat(10_240) }, ['aggregateId']],
    [{ ...sound, aggregateId: 'a\0' }, ['aggregateId']],
    [{ ...sound, occurredOn: 'yesterday' }, ['occurredOn']],
    [{ ...sound, data: 'text' }, ['data']],
    [{ ...sound, workspaceId: uuidV7() }, ['workspaceId']],
    [{ ...sound, actor: 'mia' }, ['actor']],
    [{ events: [] }, ['events']],
    [{ events: 'all' }, ['events']],
    [{ events: Array.from({ length: 1_001 }, () => sound) }, ['events']],
    [{ events: [sound, { ...sound, version: 1.5 }] }, ['events[1].version']],
    [{ events: [sound, { ...sound, type: 'knowledge.created' }] }, ['events[1].type']],
    [{ ...sound, events: [sound] }, ['type', 'aggregateId']],
  ])('%# refuses %j with the fields named, and publishes nothing', async (body, paths) => {
    const answer = await post(body);
    expect([answer.status, pathsOf(answer.body).toSorted()]).toEqual([400, [...paths].toSorted()]);
    expect((await list('type=test.refused')).body.items).toEqual([]);
  });
});

describe('GET /v1/events', () => {
  test('comes latest first in pages, by type, aggregate and time', async () => {
    const type = newType();
    const at = (hour: number) => `2020-05-06T0${hour}:00:00.000Z`;
    const events = [1, 2, 3, 4, 5].map((hour) => ({ type, aggregateId: `a${hour % 2}`, occurredOn: at(hour) }));
    const ids = (await post({ events })).body.events.map(({ id }: { id: string }) => id).toReversed();
    const first = (await list(`type=${type}&limit=2`)).body;
    const second = (await list(`type=${type}&limit=2&cursor=${first.nextCursor}`)).body;
    const third = (await list(`type=${type}&limit=2&cursor=${second.nextCursor}`)).body;
    expect([first, second, third].flatMap(idsOf)).toEqual(ids);
    expect((await list(`type=${type}&limit=2&cursor=${third.prevCursor}`)).body.items).toEqual(second.items);
    expect(idsOf((await list(`type=${type}&aggregateId=a0`)).body)).toEqual([ids[1], ids[3]]);
    expect(idsOf((await list(`type=${type}&after=${at(2)}&before=${at(5)}`)).body)).toEqual(ids.slice(1, 3));
  });

  test.each([
    'limit=0',
    'limit=101',
    'after=yesterday',
    'before=2020-13-01T00:00:00Z',
    'type=Order',
    'cursor=x',
    'colour=red',
  ])('refuses %s', async (query) => {
    const answer = await list(query);
    expect([answer.status, pathsOf(answer.body)]).toEqual([400, [query.split('=')[0]]]);
  });
});

const open = (query: string, headers: Readonly<Record<string, string>> = {}): Promise<EventClient> =>
  openEvents({ port, path: `/v1/events/stream?${query}`, headers });
const sentIn = ({ text }: EventClient): readonly { readonly id: string; readonly aggregateId: string }[] =>
  [...text.matchAll(/^event: message\ndata: (.*)$/gm)].map(([, json]) => JSON.parse(json ?? 'null'));
const lastIdIn = ({ text }: EventClient): string => [...text.matchAll(/^id: (.+)$/gm)].at(-1)?.[1] ?? '';

describe('GET /v1/events/stream', () => {
  test('tells of events as they are committed, with ids to come back with', async () => {
    const type = newType();
    const prefix = type.split('.')[0];
    const stream = await open(`type=${prefix}.*,none.at.all`);
    await api.until(async () => lastIdIn(stream) !== '');
    const { body } = await post({
      events: [
        { type, aggregateId: 'a' },
        { type: 'test.other', aggregateId: 'x' },
      ],
    });
    await api.until(async () => sentIn(stream).length === 1);
    expect(sentIn(stream)).toEqual([body.events[0]]);
    await api.until(async () => stream.text.includes(': alive'));
    stream.leave();
    const missed = (
      await post({
        events: [
          { type, aggregateId: 'b' },
          { type, aggregateId: 'c' },
        ],
      })
    ).body.events;
    for (const again of [
      await open(`type=${type}`, { 'last-event-id': lastIdIn(stream) }),
      await open(`type=${type}&lastEventId=${lastIdIn(stream)}`),
    ]) {
      await api.until(async () => sentIn(again).length === 2);
      expect(sentIn(again)).toEqual(missed);
      again.leave();
    }
  });

  test('ends when the server closes, and refuses ids and types that are none', async () => {
    for (const [query, path] of [
      ['type=A', 'type[0]'],
      ['type=', 'type[0]'],
      ['lastEventId=x', 'lastEventId'],
    ] as const) {
      const answer = await api.call('GET', `/v1/events/stream?${query}`);
      expect([answer.status, pathsOf(answer.body)]).toEqual([400, [path]]);
    }
    const answer = await api.call('GET', '/v1/events/stream', {
      headers: { 'last-event-id': '99999999999999999999.1' },
    });
    expect([answer.status, pathsOf(answer.body)]).toEqual([400, ['last-event-id']]);
  });
});

describe('a key bound to a workspace', () => {
  test('publishes into it, and sees and follows only what is in it', async () => {
    const type = newType();
    const key = await api.key(['events:read', 'events:write'], { workspaceId: own.id });
    const admin = await api.key(['admin']);
    const published = await post({ type, aggregateId: 'mine' }, '', { key });
    expect(published.body).toMatchObject({ workspaceId: own.id, actor: expect.not.stringMatching(/^local$/) });
    const stream = await open(`type=${type}`, { authorization: `Bearer ${key}` });
    await api.until(async () => lastIdIn(stream) !== '');
    await post({ type, aggregateId: 'theirs' }, '?workspace=other', { key: admin });
    await post({ type, aggregateId: 'nobody' }, '', { key: admin });
    const last = await post({ type, aggregateId: 'mine too' }, '?workspace=own', { key: admin });
    expect(idsOf((await list(`type=${type}`, { key })).body)).toEqual([last.body.id, published.body.id]);
    expect((await list(`type=${type}`, { key: admin })).body.items).toHaveLength(4);
    expect(idsOf((await list(`type=${type}&workspace=other`, { key: admin })).body)).toHaveLength(1);
    await api.until(async () => sentIn(stream).length === 1);
    expect(sentIn(stream)).toEqual([last.body]);
    stream.leave();
    for (const workspace of ['other', other.id, 'nowhere']) {
      expect((await list(`workspace=${workspace}`, { key })).status).toBe(403);
      expect((await post({ type, aggregateId: 'x' }, `?workspace=${workspace}`, { key })).status).toBe(403);
      expect((await api.call('GET', `/v1/events/stream?workspace=${workspace}`, { key })).status).toBe(403);
    }
    expect((await api.call('GET', '/v1/events/consumers', { key })).status).toBe(403);
    // Publishing an id of another workspace tells nothing of its event.
    const foreign = (await list(`type=${type}&workspace=other`, { key: admin })).body.items[0];
    expect((await post({ id: foreign.id, type, aggregateId: 'theirs' }, '', { key })).status).toBe(409);
  });

  test('and each scope opens its own', async () => {
    const [reader, writer] = [await api.key(['events:read']), await api.key(['events:write'])];
    const event = { type: newType(), aggregateId: 'a' };
    expect((await post(event, '', { key: reader })).status).toBe(403);
    expect((await post(event, '', { key: writer })).status).toBe(201);
    expect((await list('', { key: writer })).status).toBe(403);
    expect((await list('', { key: reader })).status).toBe(200);
  });
});

describe('/v1/events/consumers', () => {
  test('shows where they stand and what they failed with, redrives and forgets', async () => {
    const key = await api.key(['admin']);
    const get = (path: string) => api.call('GET', `/v1/events/consumers${path}`, { key });
    const positions = new ConsumerPositions(api.database.postgres);
    await positions.register('tests.mail', ['order.*'], 'start');
    const taken = await positions.take('tests.mail', 'me', 60_000);
    const event = await api.platform.events.publish({ type: 'order.paid', aggregateId: 'a' });
    const recorded = await api.until(async () => {
      const { events } = await api.platform.eventLog.read({ xid: 0n, seq: 0n }, { limit: 1, types: ['order.*'] });
      return events[0];
    });
    if (!taken) throw new Error('somebody else has the consumer');
    expect((await get('')).body.items).toMatchObject([{ name: 'tests.mail', holder: 'me', lag: 1, deadLetters: 0 }]);
    await positions.bury(taken.holder, recorded, { attempts: 10, fault: { code: 'TIMEOUT', message: 'late' } });
    expect((await get('/tests.mail')).body).toMatchObject({ lag: 0, deadLetters: 1, types: ['order.*'], missed: 0 });
    const letters = (await get('/tests.mail/dead-letters')).body;
    expect(letters.items).toMatchObject([
      { event: event.toJSON(), attempts: 10, error: { code: 'TIMEOUT' }, redrive: false },
    ]);
    const redrive = await api.call('POST', '/v1/events/consumers/tests.mail/redrive', {
      key,
      body: { eventIds: [event.id] },
    });
    expect([redrive.status, redrive.body]).toEqual([202, { redriven: 1 }]);
    expect((await get('/tests.mail/dead-letters')).body.items).toMatchObject([{ redrive: true }]);
    const forget = () => api.call('DELETE', '/v1/events/consumers/tests.mail', { key });
    expect((await forget()).status).toBe(409);
    await positions.release(taken.holder);
    expect((await forget()).status).toBe(204);
    for (const path of ['/tests.mail', '/tests.mail/dead-letters']) expect((await get(path)).status).toBe(404);
    expect((await get('/Not%20A%20Name')).status).toBe(400);
  });
});
