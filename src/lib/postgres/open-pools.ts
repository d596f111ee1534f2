import type { PostgresPool } from 'kysely';
import type pg from 'pg';
import type { Log } from '../log/create-log.ts';
import { BoundedPool } from './bounded-pool.ts';
import { createPool } from './pool.ts';
import type { Ask } from './pool-client.ts';

export interface PoolsOptions {
  readonly url: string;
  readonly directUrl: string;
  readonly poolSize: number;
  readonly statementTimeoutMs: number;
  readonly applicationName: string;
  readonly pool?: pg.Pool | undefined;
}

/** The pools of a process, and how single statements and Kysely go through them. */
export interface Pools {
  readonly ask: Ask;
  readonly pool: pg.Pool;
  /** With settings that suit statements asked often; undefined where statements can't be prepared. */
  readonly prepared: pg.Pool | undefined;
  readonly all: readonly pg.Pool[];
  /** Connections are pgbouncer's, or somebody else's: no settings at their start, no prepared statements. */
  readonly pooled: boolean;
  readonly kyselySource: PostgresPool;
  close(): Promise<void>;
}

/** Connections for prepared statements, beside `poolSize` others. */
export const preparedSize = (poolSize: number): number => Math.ceil(poolSize / 2);

const foreignPool = (pool: pg.Pool): Pools => ({
  pool,
  prepared: undefined,
  all: [pool],
  pooled: true,
  kyselySource: pool,
  ask: pool.query.bind(pool),
  close: () => Promise.resolve(),
});

const poolsBehindPgbouncer = (options: PoolsOptions, log: Log): Pools => {
  const { statementTimeoutMs, poolSize: max } = options;
  const pool = createPool({ ...options, max, statementTimeoutMs: 0, pipeline: true }, log);
  const bounded = new BoundedPool(pool, statementTimeoutMs);
  return {
    pool,
    prepared: undefined,
    all: [pool],
    pooled: true,
    kyselySource: bounded,
    ask: bounded.query.bind(bounded),
    close: () => pool.end(),
  };
};

const poolsAtServer = (options: PoolsOptions, log: Log): Pools => {
  const open = (max: number, settings: Readonly<Record<string, string>>): pg.Pool =>
    createPool({ ...options, max, settings: { jit: 'off', ...settings } }, log);
  const pool = open(options.poolSize, {});
  // A plan made while the queue's tables were empty would read them from end to end, and be kept when they are full.
  const prepared = open(preparedSize(options.poolSize), {
    plan_cache_mode: 'force_generic_plan',
    enable_seqscan: 'off',
  });
  return {
    pool,
    prepared,
    all: [pool, prepared],
    pooled: false,
    kyselySource: pool,
    ask: pool.query.bind(pool),
    close: async () => {
      await Promise.all([pool.end(), prepared.end()]);
    },
  };
};

/** Opens what the options ask for; nothing connects yet. */
export const openPools = (options: PoolsOptions, log: Log): Pools => {
  if (options.pool) return foreignPool(options.pool);
  return options.url === options.directUrl ? poolsAtServer(options, log) : poolsBehindPgbouncer(options, log);
};
