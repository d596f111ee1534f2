import { Client, Pool, TypeOverrides, type ClientConfig } from 'pg';
import type { Log } from '../log/create-log.ts';
import { closeSurplus } from './resize-pool.ts';
import { withSettings } from './url-settings.ts';

export interface PoolOptions {
  readonly url: string;
  readonly max: number;
  /** For each statement, 0 is without limit. Not for servers behind pgbouncer: see `BoundedPool`. */
  readonly statementTimeoutMs: number;
  readonly applicationName: string;
  /** Settings of every connection; leave out for servers behind pgbouncer, which refuses them. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Statements are sent without waiting for the answers to those before. */
  readonly pipeline?: boolean;
}

const int8Oid = 20;

/** Reads bigint as number: Treadle's counters and sizes stay far below 2^53. */
const createTypes = (): TypeOverrides => {
  const types = new TypeOverrides();
  types.setTypeParser(int8Oid, Number);
  return types;
};

/**
 * A pool with Treadle's limits: 20 s to get a connection (10 s of them to connect), 30 s idle, 1 h of life. Idle
 * connections that break are logged and replaced, never thrown.
 */
export const createPool = (options: PoolOptions, log: Log): Pool => {
  const pool = new Pool({
    connectionString: withSettings(options.url, options.settings ?? {}),
    max: options.max,
    connectionTimeoutMillis: 20_000,
    idleTimeoutMillis: 30_000,
    maxLifetimeSeconds: 3_600,
    statement_timeout: options.statementTimeoutMs === 0 ? undefined : options.statementTimeoutMs,
    application_name: options.applicationName,
    keepAlive: true,
    types: createTypes(),
    pipeline: options.pipeline === true,
  });
  closeSurplus(pool);
  // While the pool ends, its last connections may still hear that the server ends too.
  pool.on('error', (error) => pool.ending || log.warn({ event: 'postgres.idle-connection-lost', err: error }));
  // A connection that breaks while somebody has it says so to them by its next query; unheard, the event ends the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
};

/**
 * A connection of its own, for LISTEN, session locks and what else must not go through pgbouncer. The caller ends it, and
 * learns from its next query, or from the events `error` and `end`, that it was lost. `target` is a URL, or the settings
 * of a pool.
 */
export const connectDirect = async (target: string | ClientConfig, applicationName: string): Promise<Client> => {
  const client = new Client({
    // A pool hides its password from being copied with the rest.
    ...(typeof target === 'string' ? { connectionString: target } : { ...target, password: target.password }),
    application_name: applicationName,
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    types: createTypes(),
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
};
