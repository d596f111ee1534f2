import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { PresenceService } from '../src/domain/presence/service.ts';
import type { Kv } from '../src/lib/kv/kv.ts';
import { redisKey } from '../src/lib/kv/redis-key.ts';
import { Subscription } from '../src/lib/postgres/subscription.ts';
import type { BenchOptions } from './benchmarks.ts';
import { openKvWorld, type KvWorld } from './kv-world.ts';
import { describeMachine, load } from './machine.ts';
import { perSecond } from './measure.ts';
import { report, type Promised, type Row } from './report.ts';
import { startServers } from './servers.ts';

interface Sizes {
  readonly documents: number;
  readonly usersEach: number;
  readonly expiredEach: number;
  readonly beats: number;
}

const fullSizes: Sizes = { documents: 10_000, usersEach: 100, expiredEach: 1, beats: 50_000 };
const shortSizes: Sizes = { documents: 100, usersEach: 100, expiredEach: 1, beats: 500 };
const dayMs = 86_400_000;
const ttlMs = 1_800_000;
/** How long ago those were heard of who are to go. */
const silentMs = ttlMs + 60_000;
const callers = 50;

/** KEYS: those of a document. ARGV: users, of whom so many were silent, for so long, ttl. A document as joins would have left it. */
const fillScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
for index = 1, tonumber(ARGV[1]) do
  local seen = index <= tonumber(ARGV[2]) and now - ARGV[3] or now
  local name = 'user ' .. index
  redis.call('HSET', KEYS[1], name, cjson.encode({ j = seen, n = now, q = index, c = { socket = { j = seen, s = seen } } }))
  redis.call('ZADD', KEYS[2], whole(seen + ARGV[4]), name)
  redis.call('ZADD', KEYS[3], index, name)
end
redis.call('HSET', KEYS[5], 'first', 1, 'last', ARGV[1])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ${dayMs}) end
return whole(now - ARGV[3] + ARGV[4])`;

const partsOf = (documentId: string): readonly string[] =>
  ['users', 'expiry', 'joined', 'events', 'sequence'].map((name) => redisKey('presence', documentId, name));

const fillRedis = async (redis: Redis, { documents, usersEach, expiredEach }: Sizes): Promise<void> => {
  for (let from = 0; from < documents; from += 100) {
    const ids = Array.from({ length: Math.min(100, documents - from) }, (_, index) => `document ${from + index}`);
    await Promise.all(
      ids.map(async (id) => {
        const dueAt = await redis.eval(fillScript, 5, ...partsOf(id), usersEach, expiredEach, silentMs, ttlMs);
        const shard = (createHash('sha1').update(id).digest()[0] ?? 0) % 16;
        await redis.zadd(redisKey('presence-due', String(shard)), String(dueAt), id);
      }),
    );
  }
};

const fillPostgres = async ({ pg }: KvWorld, { documents, usersEach, expiredEach }: Sizes): Promise<void> => {
  const member = `'document ' || d AS document_id, 'user ' || u AS user_id FROM generate_series(1, ${documents}) AS d, generate_series(1, ${usersEach}) AS u`;
  await pg.query(
    `INSERT INTO treadle.presence_documents SELECT 'document ' || d, ${usersEach}, 1, now() FROM generate_series(1, ${documents}) AS d`,
  );
  await pg.query(
    `INSERT INTO treadle.presence_users (joined_at, joined_sequence, document_id, user_id) SELECT now(), u, ${member}`,
  );
  await pg.query(
    `INSERT INTO treadle.presence_connections (socket_id, joined_at, last_seen, document_id, user_id)
     SELECT 'socket', now(), now() - CASE WHEN u <= ${expiredEach} THEN interval '31 minutes' ELSE interval '0' END, ${member}`,
  );
  await pg.query('VACUUM ANALYZE treadle.presence_documents, treadle.presence_users, treadle.presence_connections');
};

/** In milliseconds, of what SLOWLOG has seen since it was reset. */
const slowestMs = async (redis: Redis): Promise<number> => {
  const entries: unknown = await redis.slowlog('GET', 1_000);
  if (!Array.isArray(entries)) throw new Error('SLOWLOG answers a list');
  return Math.max(0, ...entries.map((entry: unknown) => (Array.isArray(entry) ? Number(entry[2]) / 1_000 : 0)));
};

class PresenceBench {
  readonly rows: Row[] = [];
  readonly #world: KvWorld;
  readonly #sizes: Sizes;
  readonly #subscription: Subscription;

  constructor(world: KvWorld, sizes: Sizes) {
    this.#world = world;
    this.#sizes = sizes;
    this.#subscription = new Subscription(world.postgres, world.log);
  }

  async onRedis({ plain, kv }: NonNullable<KvWorld['redis']>): Promise<void> {
    await fillRedis(plain, this.#sizes);
    await plain.config('SET', 'slowlog-max-len', '1000');
    await plain.config('SET', 'slowlog-log-slower-than', '500');
    await plain.slowlog('RESET');
    await this.#clean('Redis', kv, { of: 'value', atMost: 2_000 });
    this.#add('slowest command of Redis meanwhile', 'ms', await slowestMs(plain), { of: 'value', atMost: 10 });
    await this.#beats('Redis', kv);
  }

  async onPostgres(): Promise<void> {
    await fillPostgres(this.#world, this.#sizes);
    await this.#clean('Postgres', this.#world.onPostgres);
    await this.#beats('Postgres', this.#world.onPostgres);
  }

  close(): Promise<void> {
    return this.#subscription.close();
  }

  #service(kv: Kv): PresenceService {
    return new PresenceService({ kv, subscription: this.#subscription, log: this.#world.log });
  }

  async #clean(where: string, kv: Kv, promised?: Promised): Promise<void> {
    const { documents, expiredEach, usersEach } = this.#sizes;
    const presence = this.#service(kv);
    await presence.getActiveUsers('document 7');
    const startedAt = performance.now();
    const { users } = await presence.cleanupInactiveUsers();
    const ms = performance.now() - startedAt;
    if (users !== documents * expiredEach) throw new Error(`${users} were taken out`);
    const all = (documents * usersEach).toLocaleString('en');
    this.#add(`${users.toLocaleString('en')} of ${all} taken out, ${where}`, 'ms', ms, promised);
  }

  async #beats(where: string, kv: Kv): Promise<void> {
    const { beats, documents, usersEach, expiredEach } = this.#sizes;
    const presence = this.#service(kv);
    let left = beats;
    const beat = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const [document, user] = [1 + (left % (documents - 1)), expiredEach + 1 + (left % (usersEach - expiredEach))];
        if (!(await presence.updateUserActivity(`document ${document}`, `user ${user}`, 'socket', { page: left })))
          throw new Error('somebody is not there');
      }
    };
    const rate = await perSecond(beats, () => Promise.all(Array.from({ length: callers }, beat)));
    this.#add(`heartbeats, ${where}`, '/s', rate);
  }

  #add(measure: string, unit: string, value: number, promised?: Promised): void {
    const standings = [{ name: 'Treadle', value }];
    this.rows.push({ measure, unit, standings, ...(promised ? { promised } : { detail: true }) });
  }
}

/** How long it takes to clean up among a million, each of ten thousand documents having one who is to go. */
export const benchPresence = async ({ short, backend }: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const servers = await startServers();
  const machine = await describeMachine(servers);
  const world = await openKvWorld(servers);
  const bench = new PresenceBench(world, short ? shortSizes : fullSizes);
  if (world.redis && backend !== 'postgres') await bench.onRedis(world.redis);
  if (backend !== 'redis') await bench.onPostgres();
  await bench.close();
  await world.close();
  await servers.close();
  report({ name: 'presence', short, machine, loadBefore, rows: bench.rows });
};
