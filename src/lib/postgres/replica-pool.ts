import type pg from 'pg';
import { withTimeout } from '../batching/with-timeout.ts';
import type { Log } from '../log/create-log.ts';
import { BoundedPool } from './bounded-pool.ts';
import { createPool } from './pool.ts';
import type { ReplicaPool } from './read-replica.ts';
import { resizePool } from './resize-pool.ts';

export interface ReplicaPoolOptions {
  readonly url: string;
  readonly poolSize: number;
  readonly statementTimeoutMs: number;
  readonly applicationName: string;
  /** As the primary's: through pgbouncer. */
  readonly pooled: boolean;
}

const farewellMs = 2_000;

/** Connections to a replica; they may be cut while a server that hangs owes them an answer. */
export const openReplicaPool = (options: ReplicaPoolOptions, log: Log): ReplicaPool => {
  const { pooled, statementTimeoutMs, poolSize: max } = options;
  const pool = createPool(
    {
      ...options,
      max,
      applicationName: `${options.applicationName}:reads`,
      ...(pooled ? { statementTimeoutMs: 0, pipeline: true } : { settings: { jit: 'off' } }),
    },
    log,
  );
  const clients = new Set<pg.PoolClient>();
  pool.on('connect', (client) => clients.add(client));
  pool.on('remove', (client) => clients.delete(client));
  const bounded = new BoundedPool(pool, statementTimeoutMs);
  return {
    ask: pooled ? bounded.query.bind(bounded) : pool.query.bind(pool),
    resize: (poolSize) => resizePool(pool, poolSize),
    cut: async () => {
      const ended = pool.end();
      for (const client of clients) void client.end().catch(() => undefined);
      await withTimeout(ended, farewellMs, 'the replica').catch(() => undefined);
    },
  };
};
