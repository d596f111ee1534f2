import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import type pg from 'pg';
import { clientOf, type Ask } from './pool-client.ts';

const begins = /^\s*(?:begin|start\s+transaction)\b/i;

/** Sent in one go, over a connection that pipelines: the server answers all three, whichever of them fails. */
const askWithin = async <R>(
  ask: Ask,
  limitMs: number,
  text: string,
  values: readonly unknown[],
): Promise<PostgresQueryResult<R>> => {
  const [begun, asked, ended] = await Promise.allSettled([
    ask(`BEGIN; SET LOCAL statement_timeout = ${limitMs}`, []),
    ask<R>(text, values),
    ask('COMMIT', []),
  ]);
  if (asked.status === 'rejected') throw asked.reason;
  for (const outcome of [begun, ended]) if (outcome.status === 'rejected') throw outcome.reason;
  return asked.value;
};

const boundedClient = (client: pg.PoolClient, limitMs: number): PostgresPoolClient => {
  const ask: Ask = client.query.bind(client);
  const idle = (): boolean => client.getTransactionStatus() === 'I';
  const askBounded: Ask = (text, values) => {
    if (limitMs === 0 || !idle()) return ask(text, values);
    if (begins.test(text)) return ask(`${text}; SET LOCAL statement_timeout = ${limitMs}`, values);
    return askWithin(ask, limitMs, text, values);
  };
  // One that was left within a transaction, or was lost, is not given to anybody else.
  return clientOf(askBounded, () => client.release(!idle()));
};

/**
 * A pool whose connections are lent by pgbouncer for one transaction after the other, and so have no settings of their own:
 * a statement outside of a transaction gets one around it that bounds its time, in the same round trip. The pool's
 * connections must pipeline. Serves Kysely too, transactions of its own included.
 */
export class BoundedPool implements PostgresPool {
  readonly #pool: pg.Pool;
  readonly #limitMs: number;

  /** `limitMs` is for each statement; 0 is without limit. */
  constructor(pool: pg.Pool, limitMs: number) {
    this.#pool = pool;
    this.#limitMs = limitMs;
  }

  get options(): object {
    return this.#pool.options;
  }

  async query<R>(text: string, values: readonly unknown[] = []): Promise<PostgresQueryResult<R>> {
    const client = await this.connect();
    try {
      return await client.query<R>(text, values);
    } finally {
      client.release();
    }
  }

  async connect(): Promise<PostgresPoolClient> {
    return boundedClient(await this.#pool.connect(), this.#limitMs);
  }

  end(): Promise<void> {
    return this.#pool.end();
  }
}
