import type { Kysely } from 'kysely';
import type pg from 'pg';
import type { Log } from '../log/create-log.ts';
import type { Metric } from '../telemetry/metric-text.ts';
import { kyselyOver } from './kysely.ts';
import { connectDirect, createPool } from './pool.ts';
import { QueryMetrics } from './query-metrics.ts';
import type { PreparingQueryable } from './queryable.ts';
import type { DB } from './schema.generated.ts';
import { statementName } from './statement-name.ts';
import { TransactionRunner, type Transaction, type TransactionOptions, type TransactionStats } from './transaction.ts';

export interface PostgresOptions {
  readonly url: string;
  /** Around pgbouncer, for LISTEN and session locks; `url` where there is none. Empty: as `pool` connects. */
  readonly directUrl: string;
  readonly poolSize: number;
  readonly statementTimeoutMs: number;
  readonly applicationName: string;
  /** Somebody else's pool, used instead of one of our own at `url`, and left open. */
  readonly pool?: pg.Pool | undefined;
}

export interface ConnectionStatus {
  readonly size: number;
  readonly active: number;
  readonly idle: number;
  readonly waiting: number;
}

/** One process' way to Postgres: a pool, Kysely over it, transactions, and connections of their own on request. */
export class Postgres implements PreparingQueryable {
  readonly db: Kysely<DB>;
  readonly pool: pg.Pool;
  readonly directUrl: string;
  /** Of all that goes through here. */
  readonly queries = new QueryMetrics();
  readonly #applicationName: string;
  readonly #direct: boolean;
  readonly #ownsPool: boolean;
  /** For {@link queryPrepared}; the pool itself where statements can't be prepared. */
  readonly #prepared: pg.Pool;
  readonly #transactions: TransactionRunner;

  constructor(options: PostgresOptions, log: Log) {
    // Through pgbouncer connections are shared: no settings at their start, no prepared statements.
    this.#ownsPool = options.pool === undefined;
    this.#direct = this.#ownsPool && options.url === options.directUrl;
    const create = (max: number, settings: Readonly<Record<string, string>>): pg.Pool =>
      createPool({ ...options, max, ...(this.#direct ? { settings: { jit: 'off', ...settings } } : {}) }, log);
    this.pool = options.pool ?? create(options.poolSize, {});
    // A plan made while the queue's tables were empty would read them from end to end, and be kept when they are full.
    this.#prepared = this.#direct
      ? create(Math.ceil(options.poolSize / 2), { plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off' })
      : this.pool;
    this.db = kyselyOver(this.pool, this.queries);
    this.directUrl = options.directUrl;
    this.#applicationName = options.applicationName;
    this.#transactions = new TransactionRunner(this.pool, this.queries);
  }

  query<R extends pg.QueryResultRow>(
    text: string,
    values?: unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }> {
    return this.queries.time(text, () => this.pool.query<R>(text, values));
  }

  queryPrepared<R extends pg.QueryResultRow>(
    text: string,
    values: unknown[] = [],
  ): Promise<{ rows: R[]; rowCount: number | null }> {
    const asked = this.#direct ? { name: statementName(text), text, values } : { text, values };
    return this.queries.time(text, () => this.#prepared.query<R>(asked));
  }

  /** See {@link TransactionRunner.run}. */
  transaction<T>(fn: (tx: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T> {
    return this.#transactions.run(fn, options);
  }

  getStats(): ReadonlyMap<string, TransactionStats> {
    return this.#transactions.getStats();
  }

  /** A connection of its own that bypasses pgbouncer. The caller ends it. */
  connectDirect(purpose: string): Promise<pg.Client> {
    const target = this.directUrl === '' ? this.pool.options : this.directUrl;
    return connectDirect(target, `${this.#applicationName}:${purpose}`);
  }

  getConnectionStatus(): ConnectionStatus {
    const status = { size: 0, active: 0, idle: 0, waiting: 0 };
    for (const { totalCount, idleCount, waitingCount } of this.#pools()) {
      status.size += totalCount;
      status.active += totalCount - idleCount;
      status.idle += idleCount;
      status.waiting += waitingCount;
    }
    return status;
  }

  /** The pool, as a metric. */
  metrics(): Metric {
    const { active, idle, waiting } = this.getConnectionStatus();
    return {
      name: 'treadle_postgres_connections',
      help: 'Connections of the pools; waiting: requests for one.',
      type: 'gauge',
      samples: Object.entries({ active, idle, waiting }).map(([state, value]) => ({ labels: { state }, value })),
    };
  }

  async close(): Promise<void> {
    if (this.#ownsPool) await Promise.all([...this.#pools()].map((pool) => pool.end()));
  }

  #pools(): ReadonlySet<pg.Pool> {
    return new Set([this.pool, this.#prepared]);
  }
}
