import type { RateLimiterAbstract } from 'rate-limiter-flexible';
import type { Log } from '../log/create-log.ts';
import type { PreparingQueryable } from '../postgres/queryable.ts';
import { connectRedis, type RedisAddress, type RedisClient } from '../redis/connect-redis.ts';
import { pause } from './until-aborted.ts';

/** At most `max` calls in a window, which begins with the first of them. */
export interface Rate {
  readonly max: number;
  /** A whole number. */
  readonly perSeconds: number;
}

/** Takes one of the calls that the key may still make: 0, or how long until it has more, in milliseconds. */
export type TakeCall = (key: string) => Promise<number>;

/** Where limits are counted. */
export interface LimitStore {
  /** One of the same name elsewhere, in the same store, has the same counts. */
  limit(name: string, rate: Rate): TakeCall;
  close(): void;
}

export interface LimitStoreParts {
  /** Undefined: in Postgres. */
  readonly redis: RedisAddress | undefined;
  readonly postgres: PreparingQueryable;
  readonly log: Log;
}

/** What is in front of the key; users of Redis are given rights on keys that begin so. */
const prefixOf = (name: string): string => `{treadle:limits:${name}}`;

const optionsOf = (name: string, { max, perSeconds }: Rate) => ({
  keyPrefix: prefixOf(name),
  points: max,
  duration: perSeconds,
});

/** The library is loaded with the first limit. */
const load = () => import('rate-limiter-flexible');

const takeFrom =
  (limiter: RateLimiterAbstract, { RateLimiterRes }: Awaited<ReturnType<typeof load>>): TakeCall =>
  async (key) => {
    try {
      await limiter.consume(key);
      return 0;
    } catch (error) {
      if (error instanceof RateLimiterRes) return Math.max(1, Math.ceil(error.msBeforeNext));
      throw error;
    }
  };

/** Counts in this process alone. */
export const openMemoryStore = async (): Promise<LimitStore> => {
  const library = await load();
  return {
    limit: (name, rate) => takeFrom(new library.RateLimiterMemory(optionsOf(name, rate)), library),
    close: () => undefined,
  };
};

/** A cache's connection answers at once, connected or not; the first calls should be counted where the others are. */
const connected = async (client: RedisClient, patienceMs: number): Promise<void> => {
  if (client.status === 'ready') return;
  const patience = new AbortController();
  client.once('ready', () => patience.abort());
  await pause(patienceMs, patience.signal, 'waiting for Redis').catch(() => undefined);
};

const openRedisStore = async (address: RedisAddress, log: Log, patienceMs: number): Promise<LimitStore> => {
  const library = await load();
  const client = await connectRedis(address, 'cache', log);
  await connected(client, patienceMs);
  const shared = { storeClient: client, rejectIfRedisNotReady: true };
  return {
    limit: (name, rate) => takeFrom(new library.RateLimiterRedis({ ...optionsOf(name, rate), ...shared }), library),
    close: () => client.disconnect(),
  };
};

const openPostgresStore = async (postgres: PreparingQueryable): Promise<LimitStore> => {
  const library = await load();
  const shared = {
    // Without the library's own names of statements, which pgbouncer would mix up.
    storeClient: {
      query: ({ text, values }: { readonly text: string; readonly values: unknown[] }) =>
        postgres.queryPrepared(text, values),
    },
    storeType: 'pool',
    schemaName: 'treadle',
    tableName: 'rate_limits',
    tableCreated: true,
    // maintenance.prune does it.
    clearExpiredByTimeout: false,
  };
  return {
    limit: (name, rate) => takeFrom(new library.RateLimiterPostgres({ ...optionsOf(name, rate), ...shared }), library),
    close: () => undefined,
  };
};

/** Redis where there is one, which is awaited for `patienceMs`, else Postgres. */
export const openLimitStore = ({ redis, postgres, log }: LimitStoreParts, patienceMs: number): Promise<LimitStore> =>
  redis ? openRedisStore(redis, log, patienceMs) : openPostgresStore(postgres);
