import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { SessionService } from '../../../src/domain/sessions/service.ts';
import type { SessionTimes } from '../../../src/domain/sessions/session-store.ts';
import { redisKey } from '../../../src/lib/kv/redis-key.ts';
import { hardNames } from '../../services/hard-names.ts';
import { describeEachKv } from '../../services/kv.ts';
import { RedisMonitor } from '../../services/redis-monitor.ts';

const day = 86_400_000;
const until = async (look: () => Promise<boolean>): Promise<void> => {
  for (const deadline = Date.now() + 10_000; !(await look());) {
    if (Date.now() > deadline) throw new Error('it did not happen within ten seconds');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
const apart = (later: Date | undefined, earlier: Date): number => (later?.getTime() ?? Number.NaN) - earlier.getTime();

describeEachKv('sessions', (given) => {
  const { database } = given;
  const sessionsWith = (times: Partial<SessionTimes> = {}): SessionService =>
    new SessionService({ kv: given.kv, times });
  const sessions = (): SessionService => sessionsWith();
  const idsOf = async (userId: string): Promise<readonly string[]> =>
    (await sessions().listUserSessions(userId)).map(({ handle }) => handle);

  test('a session is found by its id in every process, with what was kept in it', async () => {
    const data = { name: 'Ada', roles: ['editor'], nested: { deep: [1, null, 'ü'] }, empty: {}, none: [] };
    const created = await sessions().createSession('ada', data);
    expect(created.id).toMatch(/^trs_[\w-]{43}$/);
    const found = await new SessionService({ kv: given.another() }).getSession(created.id);
    const { createdAt } = created;
    expect(found).toEqual({ userId: 'ada', data, createdAt, lastAccessedAt: createdAt, expiresAt: found?.expiresAt });
    expect(Math.abs(apart(found?.expiresAt, createdAt) - day)).toBeLessThan(2_000);
    expect(
      await sessions()
        .createSession('ada')
        .then(({ data: none }) => none),
    ).toEqual({});
  });

  test('its id is kept nowhere, and what lists show does not open it', async () => {
    const { id, handle } = await sessions().createSession('secret');
    const [listed] = await sessions().listUserSessions('secret');
    expect(listed).toMatchObject({ handle, userId: 'secret', data: {} });
    expect(JSON.stringify(listed)).not.toContain(id.slice(4));
    expect(await sessions().getSession(handle)).toBeUndefined();
    expect(handle).toBe(createHash('sha256').update(id).digest('base64url'));
    const monitor = await RedisMonitor.start(given.nodes);
    await sessions().getSession(id);
    const seen = JSON.stringify([await monitor.seen(), await monitor.keys()]);
    monitor.stop();
    const rows = await database.query('SELECT sessions::text AS row FROM treadle.sessions AS sessions');
    expect(seen.includes(handle)).toBe(given.kv.backend === 'redis');
    expect(seen + JSON.stringify(rows)).not.toContain(id.slice(4));
  });

  test('data that names another user does not change whose session it is', async () => {
    const { id } = await sessions().createSession('mallory', { userId: 'ada', createdAt: 'never', user: 'ada' });
    expect(await sessions().getSession(id)).toMatchObject({ userId: 'mallory', data: { userId: 'ada' } });
    expect(await idsOf('ada')).not.toContain((await sessions().listUserSessions('mallory'))[0]?.handle);
    expect(await sessions().listUserSessions('mallory')).toHaveLength(1);
  });

  test('ids that never were, of whatever form, are found nowhere', async () => {
    const { id } = await sessions().createSession('known');
    for (const unknown of [
      '',
      'x',
      `${id}x`,
      id.slice(0, -1),
      id.toUpperCase(),
      '*',
      'a\nb',
      'x'.repeat(10_000),
      '\0',
    ]) {
      expect(await sessions().getSession(unknown)).toBeUndefined();
      expect(await sessions().destroySession(unknown)).toBe(false);
    }
    expect(await sessions().getSession(id)).toBeDefined();
  });

  test('lives on while it is used, ends when it is not, and ends at the latest at its age', async () => {
    const short = sessionsWith({ ttlMs: 500, maxAgeMs: 1_500, touchAfterMs: 20 });
    const [used, idle] = [await short.createSession('lives'), await short.createSession('lives')];
    const ends: number[] = [];
    let last = used.createdAt;
    await until(async () => {
      const found = await short.getSession(used.id);
      if (found) last = found.lastAccessedAt;
      if (found) ends.push(apart(found.expiresAt, used.createdAt));
      return found === undefined;
    });
    expect(Math.max(...ends)).toBeLessThanOrEqual(1_501);
    expect(apart(last, used.createdAt)).toBeGreaterThan(900);
    expect(await short.getSession(idle.id)).toBeUndefined();
    expect(await short.listUserSessions('lives')).toEqual([]);
    expect(await short.destroySession(idle.id)).toBe(false);
  });

  test('the last access is written once a minute at most', async () => {
    const { id, lastAccessedAt } = await sessions().createSession('touched');
    const often = sessionsWith({ touchAfterMs: 100 });
    expect((await sessions().getSession(id))?.lastAccessedAt).toEqual(lastAccessedAt);
    const seen = new Set<number>();
    const startedAt = performance.now();
    await until(async () => {
      const found = await Promise.all([often.getSession(id), often.getSession(id)]);
      for (const session of found) seen.add(session?.lastAccessedAt.getTime() ?? 0);
      return seen.size >= 4;
    });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(290);
    const [first = 0, ...others] = [...seen];
    others.reduce((before, time) => (expect(time - before).toBeGreaterThanOrEqual(100), time), first);
  });

  test('a destroyed session is found by nobody, and is in no list', async () => {
    const [one, other] = [await sessions().createSession('leaver'), await sessions().createSession('leaver')];
    expect(await sessions().destroySession(one.id)).toBe(true);
    expect(await sessions().destroySession(one.id)).toBe(false);
    expect(await sessions().getSession(one.id)).toBeUndefined();
    expect(await idsOf('leaver')).toEqual([other.handle]);
  });

  test('one of the sessions of a user is ended by its handle, and only by that user', async () => {
    const { id, handle } = await sessions().createSession('owner');
    expect(await sessions().destroyUserSession('thief', handle)).toBe(false);
    expect(await sessions().getSession(id)).toBeDefined();
    expect(await sessions().destroyUserSession('owner', handle)).toBe(true);
    expect(await sessions().getSession(id)).toBeUndefined();
    expect(await sessions().destroyUserSession('owner', handle)).toBe(false);
  });

  test('all sessions of a user end together, and nobody else is touched', async () => {
    const created = await Promise.all(Array.from({ length: 120 }, () => sessions().createSession('many')));
    const stays = await sessions().createSession('many.');
    expect(await sessions().listUserSessions('many')).toHaveLength(120);
    expect(await sessions().destroyAllUserSessions('many')).toBe(120);
    const left = await Promise.all(created.map(({ id }) => sessions().getSession(id)));
    expect(left.filter((session) => session !== undefined)).toEqual([]);
    expect(await sessions().listUserSessions('many')).toEqual([]);
    expect(await sessions().destroyAllUserSessions('many')).toBe(0);
    expect(await sessions().getSession(stays.id)).toBeDefined();
  });

  test('a session that begins or is used while all are ended is either gone or still among them', async () => {
    const often = sessionsWith({ touchAfterMs: 0 });
    const ids: string[] = [];
    const work = Array.from({ length: 60 }, async (_, index) => {
      if (index % 6 === 5) await often.destroyAllUserSessions('racer');
      else ids.push((await often.createSession('racer')).id);
      await Promise.all(ids.slice(-5).map((id) => often.getSession(id)));
    });
    await Promise.all(work);
    const alive = (await Promise.all(ids.map((id) => often.getSession(id)))).filter((session) => session).length;
    expect(await often.listUserSessions('racer')).toHaveLength(alive);
    await often.destroyAllUserSessions('racer');
    expect((await Promise.all(ids.map((id) => often.getSession(id)))).filter((session) => session)).toEqual([]);
  });

  test('lists come with the last used first', async () => {
    const often = sessionsWith({ touchAfterMs: 1 });
    const [one, two] = [await often.createSession('order'), await often.createSession('order')];
    await until(async () => {
      const first = await often.getSession(one.id);
      return (first?.lastAccessedAt ?? two.createdAt) > two.createdAt;
    });
    expect(await idsOf('order')).toEqual([one.handle, two.handle]);
  });

  test.each(hardNames)('takes a user whose id has %s, to the letter', async (_, userId) => {
    const { id } = await sessions().createSession(userId, { [userId]: userId });
    await sessions().createSession(`${userId} `);
    expect(await sessions().getSession(id)).toMatchObject({ userId });
    expect(await sessions().listUserSessions(userId)).toHaveLength(1);
    expect(await sessions().destroyAllUserSessions(userId)).toBe(1);
  });

  describe('refuses', () => {
    const circle: Record<string, unknown> = {};
    circle['itself'] = circle;
    test.each([
      ['no user', '', {}, 'userId'],
      ['a user of 10 kB', 'x'.repeat(10_000), {}, 'userId'],
      ['NUL in a user', 'a\0', {}, 'userId'],
      ['a big integer', 'u', { amount: 1n }, 'data.amount'],
      ['a function', 'u', { call: () => 1 }, 'data.call'],
      ['a date, which would come back as text', 'u', { at: new Date() }, 'data.at'],
      ['no number', 'u', { n: Number.NaN }, 'data.n'],
      ['a circle', 'u', circle, expect.stringMatching(/^data\.itself/)],
      ['NUL in a text', 'u', { a: ['\0'] }, 'data.a[0]'],
      ['more than 16 KiB', 'u', { a: 'x'.repeat(17_000) }, 'data'],
    ])('%s', async (_, userId, data, path) => {
      const refusal = { code: 'VALIDATION_ERROR', details: { faults: [expect.objectContaining({ path })] } };
      await expect(sessions().createSession(userId, data)).rejects.toMatchObject(refusal);
    });
  });

  test('no command of Redis takes longer the more there is, and everything is forgotten in the end', async () => {
    const monitor = await RedisMonitor.start(given.nodes);
    try {
      const often = sessionsWith({ touchAfterMs: 0 });
      const [one, two] = [await often.createSession('watched'), await often.createSession('watched')];
      await often.getSession(one.id);
      await often.listUserSessions('watched');
      await often.destroySession(two.id);
      await often.createSession('watched too');
      await often.destroyAllUserSessions('watched too');
      expect(await monitor.unboundedCommands()).toEqual([]);
      expect(await monitor.keysWithoutExpiry()).toEqual([]);
      const keys = await monitor.keys();
      expect(keys.includes(redisKey('user-sessions', 'watched'))).toBe(given.nodes.length > 0);
      expect(keys).not.toContain(redisKey('user-sessions', 'watched too'));
    } finally {
      monitor.stop();
    }
  });
});
