import { describe, expect, test } from 'vitest';
import type { PresenceNews } from '../../../src/domain/presence/types.ts';
import { hardNames } from '../../services/hard-names.ts';
import { describeEachKv } from '../../services/kv.ts';
import { RedisMonitor } from '../../services/redis-monitor.ts';
import { usePresence } from './presence-world.ts';

const halfAnHour = 1_800_000;
const minute = 60_000;

describeEachKv('presence', (given) => {
  const world = usePresence(given);
  const namesIn = async (documentId: string): Promise<readonly string[]> =>
    (await world.presence.getActiveUsers(documentId)).items.map(({ userId }) => userId);

  test('shows who is in a document, in every process, with all their connections', async () => {
    const { presence } = world;
    expect(await presence.getActiveUsers('plan')).toEqual({
      items: [],
      nextCursor: null,
      prevCursor: null,
      sequence: 0,
    });
    const { joined, sequence } = await presence.addUser('plan', 'ada', 'tab 1', { cursor: [1, 2], note: 'ü' });
    expect(joined).toBe(true);
    expect(await presence.addUser('plan', 'ada', 'tab 2')).toEqual({ joined: false, sequence });
    expect(await presence.addUser('plan', 'bob', 'tab 1')).toEqual({ joined: true, sequence: sequence + 1 });
    const page = await world.another().getActiveUsers('plan');
    const time = expect.any(Date);
    const [first, second] = [
      { socketId: 'tab 1', joinedAt: time, lastSeen: time, activity: { cursor: [1, 2], note: 'ü' } },
      { socketId: 'tab 2', joinedAt: time, lastSeen: time, activity: null },
    ];
    expect(page).toMatchObject({ nextCursor: null, prevCursor: null, sequence: sequence + 1 });
    expect(page.items).toEqual([
      { userId: 'ada', ...second, joinedAt: time, connections: [first, second] },
      {
        userId: 'bob',
        socketId: 'tab 1',
        joinedAt: time,
        lastSeen: time,
        activity: null,
        connections: [expect.anything()],
      },
    ]);
    expect(Math.abs(Date.now() - (page.items[0]?.joinedAt.getTime() ?? 0))).toBeLessThan(minute);
    expect(await namesIn('plan ')).toEqual([]);
  });

  test('a heartbeat says what a connection does, and one that says nothing leaves it', async () => {
    const { presence } = world;
    await presence.addUser('beats', 'ada', 's');
    for (const activity of [{ page: 2 }, [], 'typing', 0, false, null]) {
      expect(await presence.updateUserActivity('beats', 'ada', 's', activity)).toBe(true);
      expect(await presence.updateUserActivity('beats', 'ada', 's')).toBe(true);
      expect((await presence.getActiveUsers('beats')).items[0]?.activity).toEqual(activity);
    }
  });

  test('a user is there until the last connection goes, and a heartbeat after that does not bring them back', async () => {
    const { presence } = world;
    await presence.addUser('doc', 'ada', 'one');
    await presence.addUser('doc', 'ada', 'two');
    expect(await presence.removeUser('doc', 'ada', 'one')).toBe(true);
    expect(await presence.removeUser('doc', 'ada', 'one')).toBe(false);
    expect(await namesIn('doc')).toEqual(['ada']);
    expect(await presence.updateUserActivity('doc', 'ada', 'one', {})).toBe(false);
    expect(await presence.removeUser('doc', 'ada')).toBe(true);
    expect(await presence.updateUserActivity('doc', 'ada', 'two', {})).toBe(false);
    expect(await presence.removeUser('doc', 'ada')).toBe(false);
    expect(await presence.removeUser('never', 'ada')).toBe(false);
    expect(await presence.updateUserActivity('never', 'ada', 'two')).toBe(false);
    expect(await namesIn('doc')).toEqual([]);
  });

  test('heartbeats that race with a removal never bring a user back', async () => {
    const services = [world.presence, world.another(), world.another()];
    for (let round = 0; round < 10; round += 1) {
      await services[0]?.addUser('race', 'ada', 's');
      const beats = Array.from({ length: 12 }, (_, index) =>
        services[index % 3]?.updateUserActivity('race', 'ada', 's', { index }),
      );
      await Promise.all([...beats.slice(0, 6), services[1]?.removeUser('race', 'ada'), ...beats.slice(6)]);
      expect(await namesIn('race')).toEqual([]);
    }
  });

  test('who is not heard of for half an hour is gone at once, and taken out by the next cleanup', async () => {
    const { presence } = world;
    const { sequence } = await presence.addUser('quiet', 'eva', 's');
    await presence.addUser('quiet', 'bob', 's');
    await presence.addUser('quiet', 'bob', 'other tab');
    await world.silence('quiet', 'eva', 's', halfAnHour - minute);
    await world.silence('quiet', 'bob', 's', halfAnHour + minute);
    expect(await presence.cleanupInactiveUsers()).toEqual({ connections: 1, users: 0 });
    expect(await namesIn('quiet')).toEqual(['eva', 'bob']);
    await world.silence('quiet', 'eva', 's', 2 * minute);
    expect(await namesIn('quiet')).toEqual(['bob']);
    expect(await presence.getUserDocuments('eva')).toEqual([]);
    expect(await presence.updateUserActivity('quiet', 'eva', 's')).toBe(false);
    expect(await presence.removeUser('quiet', 'bob', 's')).toBe(false);
    expect(await presence.cleanupInactiveUsers()).toEqual({ connections: 1, users: 1 });
    expect(await presence.cleanupInactiveUsers()).toEqual({ connections: 0, users: 0 });
    expect(await world.eventsAfter('quiet', sequence)).toEqual([
      { type: 'joined', sequence: sequence + 1, userId: 'bob', socketId: 's', reason: null, at: expect.any(Date) },
      { type: 'left', sequence: sequence + 2, userId: 'eva', socketId: 's', reason: 'expired', at: expect.any(Date) },
    ]);
  });

  test('many users of many documents are cleaned up by several processes at once, each once', async () => {
    const { presence } = world;
    await presence.cleanupInactiveUsers();
    const documents = Array.from({ length: 30 }, (_, index) => `many ${index}`);
    await Promise.all(
      documents.map((id) => Promise.all(['a', 'b', 'c'].map((user) => presence.addUser(id, user, 's')))),
    );
    await Promise.all(
      documents.flatMap((id) => ['a', 'b'].map((user) => world.silence(id, user, 's', halfAnHour + minute))),
    );
    const cleaners = [presence, world.another(), world.another()];
    const cleaned = await Promise.all(cleaners.map((cleaner) => cleaner.cleanupInactiveUsers()));
    expect(cleaned.reduce((sum, { users }) => sum + users, 0)).toBe(60);
    for (const id of documents) expect(await namesIn(id)).toEqual(['c']);
  });

  test('a document that is cleaned up while somebody joins is still looked at later', async () => {
    const { presence } = world;
    for (let round = 0; round < 5; round += 1) {
      await presence.addUser('busy', 'ada', 's');
      await world.silence('busy', 'ada', 's', halfAnHour + minute);
      await Promise.all([presence.cleanupInactiveUsers(), presence.addUser('busy', 'bob', 's')]);
      expect(await namesIn('busy')).toEqual(['bob']);
      await world.silence('busy', 'bob', 's', 2 * halfAnHour);
      await presence.cleanupInactiveUsers();
      expect((await world.eventsAfter('busy', (await presence.getActiveUsers('busy')).sequence - 1))[0]).toMatchObject({
        type: 'left',
        userId: 'bob',
      });
    }
  });

  test('a user has so many connections to a document and no more', async () => {
    const small = world.another({ mostConnections: 2 });
    await small.addUser('full', 'ada', 'one');
    await small.addUser('full', 'ada', 'two');
    await expect(small.addUser('full', 'ada', 'three')).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      details: { entity: 'presence', entityId: 'ada' },
    });
    expect(await small.addUser('full', 'ada', 'two')).toMatchObject({ joined: false });
    await world.silence('full', 'ada', 'one', halfAnHour + minute);
    expect(await small.addUser('full', 'ada', 'three')).toMatchObject({ joined: false });
  });

  test('tells which documents a user is in, the last seen first, and none that were left', async () => {
    const { presence } = world;
    const documents = Array.from({ length: 60 }, (_, index) => `book ${index}`);
    await Promise.all(documents.map((id) => presence.addUser(id, 'reader', 's')));
    await Promise.all(documents.slice(0, 20).map((id) => presence.removeUser(id, 'reader')));
    await world.silence('book 20', 'reader', 's', minute);
    const found = await presence.getUserDocuments('reader');
    expect(found.map(({ documentId }) => documentId).toSorted()).toEqual(documents.slice(20).toSorted());
    expect(found.at(-1)).toEqual({ documentId: 'book 20', joinedAt: expect.any(Date), lastSeen: expect.any(Date) });
    expect(await presence.getUserDocuments('nobody')).toEqual([]);
  });

  test('comes in pages in the order of joining, there and back', async () => {
    const { presence } = world;
    const names = ['e', 'a', 'd', 'b', 'c'];
    for (const name of names) await presence.addUser('pages', name, 's');
    const first = await presence.getActiveUsers('pages', { limit: 2 });
    const second = await presence.getActiveUsers('pages', { limit: 2, cursor: first.nextCursor ?? '' });
    const third = await presence.getActiveUsers('pages', { limit: 2, cursor: second.nextCursor ?? '' });
    expect([first, second, third].map(({ items }) => items.map(({ userId }) => userId))).toEqual([
      ['e', 'a'],
      ['d', 'b'],
      ['c'],
    ]);
    expect(third.nextCursor).toBeNull();
    expect((await presence.getActiveUsers('pages', { limit: 2, cursor: third.prevCursor ?? '' })).items).toEqual(
      second.items,
    );
    const refusal = { code: 'VALIDATION_ERROR', details: { faults: [{ path: 'cursor' }] } };
    await expect(presence.getActiveUsers('other', { cursor: first.nextCursor ?? '' })).rejects.toMatchObject(refusal);
  });

  describe('a watcher', () => {
    /** The next so many news. */
    const take = async (news: AsyncGenerator<PresenceNews>, count: number): Promise<readonly PresenceNews[]> => {
      const seen: PresenceNews[] = [];
      while (seen.length < count) {
        const { value, done } = await news.next();
        if (done === true) break;
        seen.push(value);
      }
      return seen;
    };
    const brief = (item: PresenceNews) =>
      item.kind === 'event'
        ? [item.event.type, item.event.userId]
        : [item.reason, item.snapshot.users.map(({ userId }) => userId)];

    test('hears first who is there, and then who joins and leaves in other processes', async () => {
      const stop = new AbortController();
      const news = await world.presence.watch('seen', { signal: stop.signal });
      const other = world.another();
      const startedAt = performance.now();
      const heard = take(news, 5);
      await other.addUser('seen', 'ada', 's');
      await other.addUser('seen', 'ada', 't');
      await other.addUser('seen', 'bob', 's');
      await other.removeUser('seen', 'ada', 's');
      await other.removeUser('seen', 'bob');
      await other.removeUser('seen', 'ada', 't');
      expect((await heard).map(brief)).toEqual([
        ['start', []],
        ['joined', 'ada'],
        ['joined', 'bob'],
        ['left', 'bob'],
        ['left', 'ada'],
      ]);
      // By the bell, and not by looking now and then.
      expect(performance.now() - startedAt).toBeLessThan(5_000);
      stop.abort();
      expect((await news.next()).done).toBe(true);
    });

    test('that comes back hears what it missed, or who is there if that is not known any more', async () => {
      const { presence } = world;
      const stop = new AbortController();
      const after = async (sequence: number, count: number) => {
        const news = await presence.watch('back', { after: sequence, signal: stop.signal });
        return (await take(news, count)).map(brief);
      };
      const { sequence } = await presence.addUser('back', 'ada', 's');
      await presence.addUser('back', 'bob', 's');
      await presence.removeUser('back', 'ada');
      expect(await after(sequence, 2)).toEqual([
        ['joined', 'bob'],
        ['left', 'ada'],
      ]);
      expect(await after(sequence - 1, 3)).toEqual([
        ['joined', 'ada'],
        ['joined', 'bob'],
        ['left', 'ada'],
      ]);
      for (const unknown of [sequence - 2, 1, sequence + 1_000, Number.MAX_SAFE_INTEGER])
        expect(await after(unknown, 1)).toEqual([['missed', ['bob']]]);
      for (let round = 0; round < 650; round += 1) {
        await presence.addUser('back', 'ada', 's');
        await presence.removeUser('back', 'ada');
      }
      expect(await after(sequence, 1)).toEqual([['missed', ['bob']]]);
      expect(await after(sequence + 1_000, 1)).toEqual([[expect.stringMatching(/joined|left/), 'ada']]);
      stop.abort();
    });
  });

  test.each(hardNames)('takes documents, users and connections whose ids have %s, to the letter', async (_, name) => {
    const { presence } = world;
    await presence.addUser(name, name, name, { [name]: name });
    await presence.addUser(`${name} `, 'other', name);
    expect((await presence.getActiveUsers(name)).items).toMatchObject([{ userId: name, socketId: name }]);
    expect(await presence.getUserDocuments(name)).toMatchObject([{ documentId: name }]);
    expect(await presence.updateUserActivity(name, name, name, [name])).toBe(true);
    expect(await presence.removeUser(name, name, name)).toBe(true);
    expect(await namesIn(`${name} `)).toEqual(['other']);
  });

  test.each([
    ['no document', ['', 'u', 's'], 'documentId'],
    ['a document of 10 kB', ['x'.repeat(10_000), 'u', 's'], 'documentId'],
    ['no user', ['d', '', 's'], 'userId'],
    ['NUL in a user', ['d', 'a\0', 's'], 'userId'],
    ['no connection', ['d', 'u', ''], 'socketId'],
    ['half of a pair', ['d', 'u', '\udc00'], 'socketId'],
    ['an activity that JSON does not hold', ['d', 'u', 's', { at: 1n }], 'activity.at'],
    ['an activity of more than 2 KiB', ['d', 'u', 's', 'x'.repeat(2_100)], 'activity'],
  ] as const)('refuses %s', async (_, [documentId, userId, socketId, activity], path) => {
    const refusal = { code: 'VALIDATION_ERROR', details: { faults: [expect.objectContaining({ path })] } };
    await expect(world.presence.addUser(documentId, userId, socketId, activity)).rejects.toMatchObject(refusal);
    await expect(world.presence.updateUserActivity(documentId, userId, socketId, activity)).rejects.toMatchObject(
      refusal,
    );
  });

  test('no command of Redis takes longer the more there is, and everything is forgotten in the end', async () => {
    const monitor = await RedisMonitor.start(given.nodes);
    try {
      const { presence } = world;
      await presence.addUser('watched', 'ada', 's');
      await presence.updateUserActivity('watched', 'ada', 's', { page: 1 });
      await presence.getActiveUsers('watched');
      await presence.getUserDocuments('ada');
      await world.eventsAfter('watched', 1);
      await world.silence('watched', 'ada', 's', halfAnHour + minute);
      await presence.cleanupInactiveUsers();
      await presence.addUser('watched', 'ada', 's');
      await presence.removeUser('watched', 'ada');
      expect(await monitor.unboundedCommands()).toEqual([]);
      expect(await monitor.keysWithoutExpiry()).toEqual([]);
      expect((await monitor.keys()).length > 0).toBe(given.nodes.length > 0);
    } finally {
      monitor.stop();
    }
  });
});
