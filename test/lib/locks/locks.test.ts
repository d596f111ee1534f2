import * as fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import type { Kv } from '../../../src/lib/kv/kv.ts';
import { redisKey } from '../../../src/lib/kv/redis-key.ts';
import type { Lock } from '../../../src/lib/locks/held-lock.ts';
import { LockService } from '../../../src/lib/locks/lock-service.ts';
import { describeEachKv, type TestKv } from '../../services/kv.ts';
import { hardNames } from '../../services/hard-names.ts';
import { RedisMonitor } from '../../services/redis-monitor.ts';

const log = createLog({ level: 'silent' });
const opened: LockService[] = [];
afterEach(async () => {
  for (const locks of opened.splice(0)) await locks.close();
});

const locksAt = (kv: Kv): LockService => {
  const locks = new LockService({ kv, log });
  opened.push(locks);
  return locks;
};
const once = { waitMs: 0 };
const got = (lock: Lock | null): Lock => {
  if (!lock) throw new Error('the lock was not to be had');
  return lock;
};
const aborted = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });

/** Lets the lock run out, as if its holder had been silent for its time. */
const runOut = async ({ kv, database }: TestKv, resource: string): Promise<void> => {
  if (kv.backend === 'redis') {
    const client = await kv.redis.client();
    const key = redisKey('lock', resource);
    if ((await client.exists(key)) === 1) await client.hset(key, 'until', 0);
  } else
    await database.query('UPDATE treadle.locks SET expires_at = clock_timestamp() WHERE resource = $1', [resource]);
};
/** As a server that was flushed forgets it. */
const forget = async ({ kv, database }: TestKv, resource: string): Promise<void> => {
  if (kv.backend === 'redis') await (await kv.redis.client()).del(redisKey('lock', resource));
  else await database.query('DELETE FROM treadle.locks WHERE resource = $1', [resource]);
};

describeEachKv('locks', (given) => {
  const { database } = given;
  beforeAll(() => database.query('CREATE TABLE IF NOT EXISTS public.writes (resource text, fence bigint)'));

  /** A write that is accepted or refused by its fencing token. */
  const write = async (locks: LockService, lock: Lock): Promise<'accepted' | 'refused'> => {
    try {
      await database.postgres.transaction(async (tx) => {
        await locks.checkFence(tx, lock);
        await tx.query('INSERT INTO public.writes VALUES ($1, $2)', [lock.resource, lock.fence]);
      });
      return 'accepted';
    } catch (error) {
      expect(error).toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', details: { entity: 'lock' } });
      return 'refused';
    }
  };

  test('of one resource one holder has it, and others have it after', async () => {
    const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
    const lock = got(await mine.acquireLock('orders'));
    expect(lock).toMatchObject({ resource: 'orders', fence: expect.any(Number), token: expect.any(String) });
    expect(await theirs.acquireLock('orders', once)).toBeNull();
    got(await theirs.acquireLock('invoices', once));
    expect(await mine.releaseLock(lock)).toBe(true);
    const next = got(await theirs.acquireLock('orders', once));
    expect(next.fence).toBeGreaterThan(lock.fence);
    expect(next.token).not.toBe(lock.token);
  });

  test('who waits has it as soon as it is free, and null when the time is over', async () => {
    const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
    const lock = got(await mine.acquireLock('waited-for'));
    const startedAt = performance.now();
    expect(await theirs.acquireLock('waited-for', { waitMs: 120, retryDelayMs: 20 })).toBeNull();
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(119);
    const waiting = theirs.acquireLock('waited-for', { waitMs: 20_000, retryDelayMs: 20 });
    await mine.releaseLock(lock);
    expect(await waiting).toMatchObject({ resource: 'waited-for' });
  });

  test('a wait ends with its signal', async () => {
    const locks = locksAt(given.kv);
    await locks.acquireLock('long');
    const stop = new AbortController();
    const waiting = locks.acquireLock('long', { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  test('of many who ask at once one has it at a time', async () => {
    const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
    let inside = 0;
    let most = 0;
    const fences: number[] = [];
    await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        (index % 2 === 0 ? mine : theirs).withLock(
          'crowded',
          async ({ fence }) => {
            inside += 1;
            most = Math.max(most, inside);
            fences.push(fence);
            await new Promise(setImmediate);
            inside -= 1;
          },
          { retryDelayMs: 10 },
        ),
      ),
    );
    expect(most).toBe(1);
    expect(fences).toHaveLength(12);
    expect(fences).toEqual(fences.toSorted((a, b) => a - b));
  });

  test("giving back somebody else's lock, or one that was given back, has no effect and says so", async () => {
    const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
    const lock = got(await mine.acquireLock('not-yours'));
    expect(await theirs.releaseLock({ resource: 'not-yours', token: 'made up' })).toBe(false);
    expect(await theirs.releaseLock({ resource: 'not-held', token: 'made up' })).toBe(false);
    expect(await theirs.acquireLock('not-yours', once)).toBeNull();
    expect(await mine.releaseLock(lock)).toBe(true);
    expect(await mine.releaseLock(lock)).toBe(false);
  });

  test('is renewed while it is held, and runs out by itself when its holder is gone', async () => {
    const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
    const lock = got(await mine.acquireLock('renewed', { ttlMs: 200 }));
    expect(await theirs.acquireLock('renewed', { waitMs: 500, retryDelayMs: 20 })).toBeNull();
    expect(lock.signal.aborted).toBe(false);
    // As after a crash: nobody renews it, and nobody gives it back.
    if (!('stop' in lock && typeof lock.stop === 'function')) throw new Error('nothing renews the lock');
    lock.stop();
    got(await theirs.acquireLock('renewed', { waitMs: 10_000, retryDelayMs: 20 }));
  });

  test('tells its holder when it is lost', async () => {
    const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
    const lock = got(await mine.acquireLock('lost', { ttlMs: 150 }));
    await runOut(given, 'lost');
    got(await theirs.acquireLock('lost', once));
    expect(await aborted(lock.signal)).toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', details: { entityId: 'lost' } });
    expect(await mine.releaseLock(lock)).toBe(false);
    expect(await locksAt(given.kv).acquireLock('lost', once)).toBeNull();
  });

  test('work under a lock that was lost does not count, and the error of work that fails is its own', async () => {
    const locks = locksAt(given.kv);
    await expect(locks.withLock('work', () => runOut(given, 'work'))).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      details: { entity: 'lock', entityId: 'work' },
    });
    await expect(locks.withLock('work', () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    expect(await locks.withLock('work', ({ fence }) => Promise.resolve(typeof fence))).toBe('number');
    const held = got(await locks.acquireLock('work'));
    await expect(locks.withLock('work', () => Promise.resolve(1), once)).rejects.toMatchObject({
      code: 'TIMEOUT',
      details: { timeoutMs: 0 },
    });
    await locks.releaseLock(held);
  });

  test('a holder whose place was taken can write no more, from the moment on in which the next one has it', async () => {
    const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
    const lock = got(await mine.acquireLock('fenced'));
    expect(await write(mine, lock)).toBe('accepted');
    await runOut(given, 'fenced');
    const next = got(await theirs.acquireLock('fenced', once));
    expect(await write(mine, lock)).toBe('refused');
    expect(await write(theirs, next)).toBe('accepted');
    expect(await write(mine, lock)).toBe('refused');
  });

  test('nobody is let in while a checked transaction of the holder before is open', async () => {
    const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
    const lock = got(await mine.acquireLock('open'));
    await database.postgres.transaction(async (tx) => {
      await mine.checkFence(tx, lock);
      await runOut(given, 'open');
      expect(await theirs.acquireLock('open', { waitMs: 60, retryDelayMs: 20 })).toBeNull();
    });
    expect(await theirs.acquireLock('open', { waitMs: 5_000, retryDelayMs: 20 })).toMatchObject({ resource: 'open' });
  });

  test('a server that forgot everything hands out greater fencing tokens all the same', async () => {
    const locks = locksAt(given.kv);
    const lock = got(await locks.acquireLock('forgotten'));
    await forget(given, 'forgotten');
    const next = got(await locks.acquireLock('forgotten', once));
    expect(next.fence).toBeGreaterThan(lock.fence);
    expect(await write(locks, lock)).toBe('refused');
    expect(await write(locks, next)).toBe('accepted');
  });

  test('a fence that was forgotten after a long time is written again, and keeps others out as before', async () => {
    const locks = locksAt(given.kv);
    const lock = got(await locks.acquireLock('old'));
    await database.query(`DELETE FROM treadle.lock_fences WHERE resource = 'old'`);
    expect(await write(locks, lock)).toBe('accepted');
    await runOut(given, 'old');
    got(await locks.acquireLock('old', once));
    expect(await write(locks, lock)).toBe('refused');
  });

  test.each(hardNames)('takes %s as the name of a resource, to the letter', async (_, resource) => {
    const locks = locksAt(given.kv);
    const lock = got(await locks.acquireLock(resource));
    expect(await locks.acquireLock(resource, once)).toBeNull();
    got(await locks.acquireLock(`${resource} `, once));
    expect(await locks.releaseLock(lock)).toBe(true);
  });

  const command = fc.record({
    service: fc.nat({ max: 2 }),
    act: fc.constantFrom('acquire', 'write', 'release', 'run out', 'forget'),
  });
  type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;

  /** Does what is commanded to the lock of a resource, and says what a model of one would not have said. */
  const differences = async (
    resource: string,
    services: readonly LockService[],
    commands: readonly Command[],
  ): Promise<readonly string[]> => {
    const found: string[] = [];
    const same = (what: string, seen: unknown, expected: unknown): void => {
      if (seen !== expected) found.push(`${what}: ${String(seen)}`);
    };
    const locks: (Lock | undefined)[] = [undefined, undefined, undefined];
    let isHeld = false;
    /** Who was let in last may write, also when the lock is theirs no more: nobody was let in after them. */
    let last: Lock | undefined;
    for (const { service, act } of commands) {
      const [own, lock] = [services[service], locks[service]];
      if (!own) throw new Error('there are three');
      if (act === 'run out' || act === 'forget') {
        await (act === 'forget' ? forget(given, resource) : runOut(given, resource));
        isHeld = false;
      } else if (act === 'acquire') {
        const taken = await own.acquireLock(resource, once);
        same('taken', taken !== null, !isHeld);
        if (!taken) continue;
        same('fence grows', taken.fence > (last?.fence ?? 0), true);
        isHeld = true;
        last = taken;
        locks[service] = taken;
      } else if (lock && act === 'write') {
        same('written', await write(own, lock), lock === last ? 'accepted' : 'refused');
      } else if (lock && act === 'release') {
        same('released', await own.releaseLock(lock), isHeld && lock === last);
        if (lock === last) isHeld = false;
      }
    }
    return found;
  };

  test('however holders are silent, forgotten and succeed each other, only the last one let in can write', async () => {
    const services = [locksAt(given.kv), locksAt(given.another()), locksAt(given.another())];
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 25 }), async (commands) => {
        run += 1;
        expect(await differences(`model ${run}`, services, commands)).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  test('no command of Redis takes longer the more there is, and every lock is forgotten in the end', async () => {
    const monitor = await RedisMonitor.start(given.nodes);
    try {
      const [mine, theirs] = [locksAt(given.kv), locksAt(given.another())];
      await mine.withLock('watched', async (lock) => {
        expect(await theirs.acquireLock('watched', once)).toBeNull();
        expect(await write(mine, lock)).toBe('accepted');
      });
      got(await mine.acquireLock('watched too'));
      expect(await monitor.unboundedCommands()).toEqual([]);
      expect(await monitor.keysWithoutExpiry()).toEqual([]);
      const keys = await monitor.keys();
      expect(keys.includes(redisKey('lock', 'watched too'))).toBe(given.nodes.length > 0);
    } finally {
      monitor.stop();
    }
  });

  describe('refuses', () => {
    test.each([
      ['a negative time', { ttlMs: -1 }, 'ttlMs'],
      ['no time', { ttlMs: 0 }, 'ttlMs'],
      ['a time that is no number', { ttlMs: Number.NaN }, 'ttlMs'],
      ['an endless time', { ttlMs: Number.POSITIVE_INFINITY }, 'ttlMs'],
      ['a huge time', { ttlMs: Number.MAX_SAFE_INTEGER }, 'ttlMs'],
      ['half a millisecond', { ttlMs: 1_000.5 }, 'ttlMs'],
      ['a negative wait', { waitMs: -1 }, 'waitMs'],
      ['an endless wait', { waitMs: Number.POSITIVE_INFINITY }, 'waitMs'],
      ['no pause between two looks', { retryDelayMs: 0 }, 'retryDelayMs'],
      ['a pause that is no number', { retryDelayMs: Number.NaN }, 'retryDelayMs'],
    ])('%s', async (_, options, path) => {
      const faults = [expect.objectContaining({ path })];
      const refusal = { code: 'VALIDATION_ERROR', details: { faults } };
      await expect(locksAt(given.kv).acquireLock('r', options)).rejects.toMatchObject(refusal);
    });

    test.each([
      ['no name', ''],
      ['a name of 10 kB', 'x'.repeat(10_000)],
      ['NUL in a name', 'a\0b'],
      ['half of a pair', '\ud800'],
    ])('%s', async (_, resource) => {
      const refusal = { code: 'VALIDATION_ERROR', details: { faults: [{ path: 'resource' }] } };
      await expect(locksAt(given.kv).acquireLock(resource)).rejects.toMatchObject(refusal);
    });
  });
});
