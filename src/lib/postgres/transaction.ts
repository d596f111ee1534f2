import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type pg from 'pg';
import { AppError } from '../errors/app-error.ts';
import { codeOf, isConflictOfTransactions, isConnectionError, toAppError } from '../errors/classify.ts';
import { copyIn, type CopyingQueryable } from './copy-in.ts';
import { kyselyThrough } from './kysely-through.ts';
import type { QueryMetrics } from './query-metrics.ts';
import type { DB } from './schema.generated.ts';

export type Isolation = 'read committed' | 'repeatable read' | 'serializable';

export interface TransactionOptions {
  readonly isolation?: Isolation;
  /** How often the whole transaction is run again after a conflict or a connection lost before COMMIT was sent. */
  readonly maxRetries?: number;
  /** For each run of the whole transaction, the time between its statements included: 30 s by default. */
  readonly timeoutMs?: number;
  /** Groups the statistics. */
  readonly name?: string;
}

/** An open transaction. Everything done through it commits or rolls back as one. */
export interface Transaction extends CopyingQueryable {
  readonly db: Kysely<DB>;
  /** A savepoint: if `fn` throws, only what it did is undone, and the error goes on to the caller. */
  nested<T>(fn: (tx: Transaction) => Promise<T>): Promise<T>;
}

export interface TransactionStats {
  readonly committed: number;
  readonly rolledBack: number;
  readonly retried: number;
  readonly totalMs: number;
}

class OpenTransaction implements Transaction {
  readonly #client: pg.PoolClient;
  readonly #depth: number;
  readonly #queries: QueryMetrics;

  constructor(client: pg.PoolClient, depth: number, queries: QueryMetrics) {
    this.#client = client;
    this.#depth = depth;
    this.#queries = queries;
  }

  get db(): Kysely<DB> {
    return kyselyThrough(this);
  }

  query<R extends pg.QueryResultRow>(
    text: string,
    values?: unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }> {
    return this.#queries.time(text, () => this.#client.query<R>(text, values));
  }

  copyIn(statement: string, rows: Iterable<string>): Promise<void> {
    return this.#queries.time(statement, () => copyIn(this.#client, statement, rows));
  }

  async nested<T>(fn: (tx: Transaction) => Promise<T>): Promise<T> {
    const savepoint = `treadle_${this.#depth + 1}`;
    await this.#client.query(`SAVEPOINT ${savepoint}`);
    try {
      const result = await fn(new OpenTransaction(this.#client, this.#depth + 1, this.#queries));
      await this.#client.query(`RELEASE SAVEPOINT ${savepoint}`);
      return result;
    } catch (error) {
      // Released too: else each failure in a loop would leave one behind.
      await this.#client.query(`ROLLBACK TO SAVEPOINT ${savepoint}; RELEASE SAVEPOINT ${savepoint}`);
      throw error;
    }
  }
}

const queryCanceled = '57014';

const timedOut = (timeoutMs: number, cause?: unknown): AppError =>
  new AppError(
    'TIMEOUT',
    `the transaction took longer than ${timeoutMs} ms, and was rolled back`,
    { timeoutMs },
    { cause },
  );

const nothingCommitted = (): AppError =>
  new AppError(
    'DATA_CONSISTENCY_ERROR',
    'the transaction was rolled back: one of its statements had failed, and the error was not passed on',
    {},
  );

/** Runs transactions on a pool and counts them by name. */
export class TransactionRunner {
  readonly #pool: pg.Pool;
  readonly #queries: QueryMetrics;
  readonly #stats = new Map<string, TransactionStats>();

  constructor(pool: pg.Pool, queries: QueryMetrics) {
    this.#pool = pool;
    this.#queries = queries;
  }

  /**
   * Runs `fn` in a transaction: commits when it returns, rolls back when it throws. Serialization failures, deadlocks
   * and connections lost before COMMIT was sent are run again up to `maxRetries` times (3), so `fn` may run more than once.
   * @throws whatever `fn` throws; AppError TIMEOUT when it took too long, DATA_CONSISTENCY_ERROR when a failed statement had
   * ended the transaction although `fn` returned, and what is left of conflicts and lost connections after the retries.
   */
  async run<T>(fn: (tx: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const { maxRetries = 3, name = 'unnamed' } = options;
    const startedAt = performance.now();
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#attempt(fn, options);
      if (outcome.ok) {
        this.#count(name, { committed: 1, rolledBack: 0, retried: attempt, totalMs: performance.now() - startedAt });
        return outcome.value;
      }
      if (!outcome.mayRunAgain || attempt >= maxRetries) {
        this.#count(name, { committed: 0, rolledBack: 1, retried: attempt, totalMs: performance.now() - startedAt });
        throw outcome.mayRunAgain ? toAppError(outcome.error) : outcome.error;
      }
      await delay(10 * 2 ** attempt * (0.5 + Math.random()));
    }
  }

  /** Counts since the start, by transaction name. */
  getStats(): ReadonlyMap<string, TransactionStats> {
    return this.#stats;
  }

  async #attempt<T>(
    fn: (tx: Transaction) => Promise<T>,
    { isolation = 'read committed', timeoutMs = 30_000 }: TransactionOptions,
  ): Promise<{ ok: true; value: T } | { ok: false; error: unknown; mayRunAgain: boolean }> {
    let client: pg.PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      return { ok: false, error, mayRunAgain: isConnectionError(error) };
    }
    let committing = false;
    let broken: Error | undefined;
    const limit = Math.max(1, Math.ceil(timeoutMs));
    const deadline = performance.now() + limit;
    try {
      await client.query(
        `BEGIN ISOLATION LEVEL ${isolation}; SET LOCAL statement_timeout = ${limit}; SET LOCAL idle_in_transaction_session_timeout = ${limit}`,
      );
      const value = await fn(new OpenTransaction(client, 0, this.#queries));
      if (performance.now() >= deadline) throw timedOut(limit);
      committing = true;
      // In a transaction that a failed statement has ended COMMIT is no error, and does what it says here.
      const { command } = await client.query('COMMIT');
      if (command === 'ROLLBACK') throw nothingCommitted();
      return { ok: true, value };
    } catch (thrown) {
      const late = !committing && performance.now() >= deadline;
      // The server ends a connection that is idle for too long, which looks like any other loss.
      const ended = codeOf(thrown) === queryCanceled || isConnectionError(thrown);
      const error = late && ended ? timedOut(limit, thrown) : thrown;
      const mayRunAgain = isConflictOfTransactions(error) || (!committing && isConnectionError(error));
      // A client whose ROLLBACK fails holds an unknown transaction: it must not go back into the pool.
      broken = await client.query('ROLLBACK').then(
        () => undefined,
        (failure: Error) => failure,
      );
      return { ok: false, error, mayRunAgain };
    } finally {
      client.release(broken);
    }
  }

  #count(name: string, add: TransactionStats): void {
    const sum = this.#stats.get(name) ?? { committed: 0, rolledBack: 0, retried: 0, totalMs: 0 };
    this.#stats.set(name, {
      committed: sum.committed + add.committed,
      rolledBack: sum.rolledBack + add.rolledBack,
      retried: sum.retried + add.retried,
      totalMs: sum.totalMs + add.totalMs,
    });
  }
}
