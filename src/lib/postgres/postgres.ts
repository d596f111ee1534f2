import type { KeyObject } from 'node:crypto';
import type { Kysely } from 'kysely';
import type pg from 'pg';
import { validationError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import type { Metric } from '../telemetry/metric-text.ts';
import { readCursorKey, type CursorKeyKeeper } from './cursor-key.ts';
import { kyselyOver } from './kysely.ts';
import { openPools, preparedSize, type Pools } from './open-pools.ts';
import { connectDirect } from './pool.ts';
import { QueryMetrics } from './query-metrics.ts';
import type { PreparingQueryable } from './queryable.ts';
import { Reader } from './reader.ts';
import { openReplicaPool } from './replica-pool.ts';
import { resizePool } from './resize-pool.ts';
import type { DB } from './schema.generated.ts';
import { statementName } from './statement-name.ts';
import { TransactionRunner, type Transaction, type TransactionOptions, type TransactionStats } from './transaction.ts';

export interface PostgresOptions {
  readonly url: string;
  /** Around pgbouncer, for LISTEN and session locks; `url` where there is none. Empty: as `pool` connects. */
  readonly directUrl: string;
  /** Servers that follow this one, for reads. */
  readonly replicaUrls?: readonly string[];
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

const poolSizes = { min: 2, max: 1_000 };

const portOf = (url: string): string => {
  const { hostname, port } = new URL(url);
  return `${hostname || 'localhost'}:${port || 5_432}`;
};

/** One process' way to Postgres: a pool, Kysely over it, transactions, and connections of their own on request. */
export class Postgres implements PreparingQueryable, CursorKeyKeeper {
  readonly db: Kysely<DB>;
  readonly pool: pg.Pool;
  readonly directUrl: string;
  /** Of all that goes through here. */
  readonly queries = new QueryMetrics();
  /** For reads that a replica may answer. */
  readonly reader: Reader;
  readonly #applicationName: string;
  readonly #pools: Pools;
  readonly #transactions: TransactionRunner;
  #cursorKey: Promise<KeyObject> | undefined;

  constructor(options: PostgresOptions, log: Log) {
    this.#pools = openPools(options, log);
    this.pool = this.#pools.pool;
    this.directUrl = options.directUrl;
    this.#applicationName = options.applicationName;
    this.#transactions = new TransactionRunner(this.pool, this.queries);
    const { pooled, kyselySource } = this.#pools;
    this.reader = new Reader({
      primary: (text, asked) => this.#pools.ask(text, asked),
      replicas: (options.replicaUrls ?? []).map((url) => ({
        name: portOf(url),
        open: (poolSize) => openReplicaPool({ ...options, url, poolSize, pooled }, log),
      })),
      poolSize: options.poolSize,
      queries: this.queries,
      log,
    });
    this.db = kyselyOver(kyselySource, this.queries, (statement) => this.reader.note(statement));
  }

  query<R extends pg.QueryResultRow>(
    text: string,
    values: unknown[] = [],
  ): Promise<{ rows: R[]; rowCount: number | null }> {
    return this.#noting(text, () => this.queries.time(text, () => this.#pools.ask<R>(text, values)));
  }

  queryPrepared<R extends pg.QueryResultRow>(
    text: string,
    values: unknown[] = [],
  ): Promise<{ rows: R[]; rowCount: number | null }> {
    const { prepared } = this.#pools;
    if (!prepared) return this.query<R>(text, values);
    const asked = { name: statementName(text), text, values };
    return this.#noting(text, () => this.queries.time(text, () => prepared.query<R>(asked)));
  }

  /** See {@link TransactionRunner.run}. */
  transaction<T>(fn: (tx: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T> {
    return this.#noting('COMMIT', () => this.#transactions.run(fn, options));
  }

  cursorKey(): Promise<KeyObject> {
    this.#cursorKey ??= readCursorKey(this).catch((error: unknown) => {
      this.#cursorKey = undefined;
      throw error;
    });
    return this.#cursorKey;
  }

  getStats(): ReadonlyMap<string, TransactionStats> {
    return this.#transactions.getStats();
  }

  /** A connection of its own that bypasses pgbouncer. The caller ends it. */
  connectDirect(purpose: string): Promise<pg.Client> {
    const target = this.directUrl === '' ? this.pool.options : this.directUrl;
    return connectDirect(target, `${this.#applicationName}:${purpose}`);
  }

  /**
   * Changes the size of the running pools (half as much for prepared statements, as much for each replica): a larger one serves at once who
   * waits, a smaller one closes connections as they come back.
   * @throws AppError VALIDATION_ERROR for anything but a whole number from 2 to 1,000.
   */
  configurePooling(poolSize: number): void {
    const { min, max } = poolSizes;
    if (!Number.isInteger(poolSize) || poolSize < min || poolSize > max) {
      const message = `must be a whole number from ${min} to ${max}`;
      throw validationError('the pool', [{ path: 'poolSize', message }]);
    }
    const { pool, prepared } = this.#pools;
    resizePool(pool, poolSize);
    if (prepared) resizePool(prepared, preparedSize(poolSize));
    this.reader.resize(poolSize);
  }

  getConnectionStatus(): ConnectionStatus {
    const status = { size: 0, active: 0, idle: 0, waiting: 0 };
    for (const { totalCount, idleCount, waitingCount } of this.#pools.all) {
      status.size += totalCount;
      status.active += totalCount - idleCount;
      status.idle += idleCount;
      status.waiting += waitingCount;
    }
    return status;
  }

  /** The pools and the replicas, as metrics. */
  metrics(): readonly Metric[] {
    const { active, idle, waiting } = this.getConnectionStatus();
    return [
      {
        name: 'treadle_postgres_connections',
        help: 'Connections of the pools; waiting: requests for one.',
        type: 'gauge',
        samples: Object.entries({ active, idle, waiting }).map(([state, value]) => ({ labels: { state }, value })),
      },
      ...this.reader.metrics(),
    ];
  }

  async close(): Promise<void> {
    await this.reader.close();
    await this.#pools.close();
  }

  async #noting<T>(text: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } finally {
      this.reader.note(text);
    }
  }
}
