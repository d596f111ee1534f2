import { randomBytes } from 'node:crypto';
import { createScript, noteScript, peekScript } from '../src/domain/sessions/redis-session-scripts.ts';
import { createSql, getSql } from '../src/domain/sessions/postgres-session-store.ts';
import { SessionService } from '../src/domain/sessions/service.ts';
import { handleOf } from '../src/domain/sessions/session-id.ts';
import type { Kv } from '../src/lib/kv/kv.ts';
import { redisKey } from '../src/lib/kv/redis-key.ts';
import { raiseSql } from '../src/lib/locks/fences.ts';
import { LockService } from '../src/lib/locks/lock-service.ts';
import { releaseSql, takeSql } from '../src/lib/locks/postgres-lock-store.ts';
import { drawSql, rememberedMs, renewScript, takeScript } from '../src/lib/locks/redis-lock-store.ts';
import type { BenchOptions } from './benchmarks.ts';
import { ask, openKvWorld, runLoaded, type KvWorld } from './kv-world.ts';
import { describeMachine, load } from './machine.ts';
import { compare, perSecond } from './measure.ts';
import { report, type Row } from './report.ts';
import { startServers } from './servers.ts';

interface Sizes {
  readonly rounds: number;
  readonly locks: number;
  readonly sessions: number;
}

const fullSizes: Sizes = { rounds: 5, locks: 5_000, sessions: 20_000 };
const shortSizes: Sizes = { rounds: 1, locks: 300, sessions: 500 };
/** Callers at once, each with resources and users of its own. */
const callers = 10;
const ttlMs = 30_000;
const dayMs = 86_400_000;
const minuteMs = 60_000;
const skewMs = 300_000;
const promised = { of: 'ratio', atLeast: 0.7 } as const;

type Work = (caller: number) => Promise<unknown>;

const atOnce = async (count: number, work: Work): Promise<void> => {
  let left = count;
  const call = async (caller: number): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await work(caller);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
};

class LocksBench {
  readonly rows: Row[] = [];
  readonly #world: KvWorld;
  readonly #sizes: Sizes;

  constructor(world: KvWorld, sizes: Sizes) {
    this.#world = world;
    this.#sizes = sizes;
  }

  async locksOnRedis({ plain, kv }: NonNullable<KvWorld['redis']>): Promise<void> {
    const { pg } = this.#world;
    const raw: Work = async (caller) => {
      const [key, token] = [redisKey('lock', `raw ${caller}`), randomBytes(16).toString('base64url')];
      const [drawn] = await ask(pg, drawSql, []);
      const fence = String(drawn?.['fence']);
      await runLoaded(plain, takeScript, key, [token, fence, ttlMs, rememberedMs]);
      await ask(pg, raiseSql, [`raw ${caller}`, fence]);
      await runLoaded(plain, renewScript, key, [token, 0, rememberedMs]);
    };
    await this.#compareLocks('a lock taken and given back, Redis', kv, 'raw ioredis', raw);
  }

  async locksOnPostgres(): Promise<void> {
    const { pg, onPostgres } = this.#world;
    const raw: Work = async (caller) => {
      const token = randomBytes(16).toString('base64url');
      const [taken] = await ask(pg, takeSql, [`plain ${caller}`, token, ttlMs]);
      await ask(pg, raiseSql, [`plain ${caller}`, taken?.['fence']]);
      await ask(pg, releaseSql, [`plain ${caller}`, token]);
    };
    await this.#compareLocks('a lock taken and given back, Postgres', onPostgres, 'plain pg', raw);
  }

  async sessionsOnRedis({ plain, kv }: NonNullable<KvWorld['redis']>): Promise<void> {
    const sessions = new SessionService({ kv });
    const create: Work = async (caller) => {
      const handle = handleOf(randomBytes(32).toString('base64url'));
      const [user, key] = [redisKey('user-sessions', `raw ${caller}`), redisKey('session', handle)];
      await runLoaded(plain, noteScript, user, [handle, dayMs + skewMs]);
      await runLoaded(plain, createScript, key, [`raw ${caller}`, '{"theme":"dark"}', dayMs, 30 * dayMs, minuteMs]);
      await runLoaded(plain, noteScript, user, [handle, dayMs + skewMs]);
    };
    await this.#compareSessions('a session begun, Redis', 'raw ioredis', begin(sessions), create);
    const { id, handle } = await sessions.createSession('reader', { theme: 'dark' });
    const read: Work = () => runLoaded(plain, peekScript, redisKey('session', handle), [minuteMs]);
    await this.#compareSessions('a session found, Redis', 'raw ioredis', () => sessions.getSession(id), read);
  }

  async sessionsOnPostgres(): Promise<void> {
    const { pg, onPostgres } = this.#world;
    const sessions = new SessionService({ kv: onPostgres });
    const create: Work = (caller) =>
      ask(pg, createSql, [randomBytes(32), `raw ${caller}`, '{"theme":"dark"}', dayMs, 30 * dayMs]);
    await this.#compareSessions('a session begun, Postgres', 'plain pg', begin(sessions), create);
    const { id, handle } = await sessions.createSession('reader', { theme: 'dark' });
    const hash = Buffer.from(handle, 'base64url');
    const read: Work = () => ask(pg, getSql, [hash, dayMs, minuteMs]);
    await this.#compareSessions('a session found, Postgres', 'plain pg', () => sessions.getSession(id), read);
  }

  async #compareLocks(measure: string, kv: Kv, other: string, raw: Work): Promise<void> {
    const locks = new LockService({ kv, log: this.#world.log });
    const own: Work = (caller) => locks.withLock(`own ${caller}`, () => Promise.resolve());
    await this.#compare(measure, this.#sizes.locks, own, { name: other, work: raw });
    await locks.close();
  }

  #compareSessions(measure: string, other: string, own: Work, raw: Work): Promise<void> {
    return this.#compare(measure, this.#sizes.sessions, own, { name: other, work: raw });
  }

  async #compare(
    measure: string,
    count: number,
    own: Work,
    other: { readonly name: string; readonly work: Work },
  ): Promise<void> {
    // The server learns the scripts.
    await own(0);
    const turn = (name: string, work: Work) => ({ name, run: () => perSecond(count, () => atOnce(count, work)) });
    const standings = await compare(this.#sizes.rounds, [turn('Treadle', own), turn(other.name, other.work)]);
    this.rows.push({ measure, unit: '/s', standings, promised });
  }
}

const begin =
  (sessions: SessionService): Work =>
  (caller) =>
    sessions.createSession(`own ${caller}`, { theme: 'dark' });

/** Locks and sessions beside the commands and statements that they consist of, by plain ioredis and pg. */
export const benchLocks = async ({ short }: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const servers = await startServers();
  const machine = await describeMachine(servers);
  const world = await openKvWorld(servers);
  const bench = new LocksBench(world, short ? shortSizes : fullSizes);
  if (world.redis) await bench.locksOnRedis(world.redis);
  await bench.locksOnPostgres();
  if (world.redis) await bench.sessionsOnRedis(world.redis);
  await bench.sessionsOnPostgres();
  await world.close();
  await servers.close();
  report({ name: 'locks', short, machine, loadBefore, rows: bench.rows });
};
