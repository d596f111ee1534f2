import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type QueryResult,
} from 'kysely';
import type pg from 'pg';
import type { Queryable } from './queryable.ts';
import type { DB } from './schema.generated.ts';

class ThroughConnection implements DatabaseConnection {
  readonly #queryable: Queryable;

  constructor(queryable: Queryable) {
    this.#queryable = queryable;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, rowCount } = await this.#queryable.query<R & pg.QueryResultRow>(sql, [...parameters]);
    return { rows, ...(rowCount === null ? {} : { numAffectedRows: BigInt(rowCount) }) };
  }

  streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('statements are not streamed');
  }
}

class ThroughDriver extends DummyDriver {
  readonly #connection: DatabaseConnection;

  constructor(queryable: Queryable) {
    super();
    this.#connection = new ThroughConnection(queryable);
  }

  override acquireConnection(): Promise<DatabaseConnection> {
    return Promise.resolve(this.#connection);
  }
}

const known = new WeakMap<Queryable, Kysely<DB>>();

/**
 * Kysely over what answers node-postgres' `query` and may do no more: an open transaction, ours or one of a caller's own
 * library. Whoever opened it ends it.
 */
export const kyselyThrough = (queryable: Queryable): Kysely<DB> => {
  const made = known.get(queryable);
  if (made) return made;
  const db = new Kysely<DB>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new ThroughDriver(queryable),
      createIntrospector: (of) => new PostgresIntrospector(of),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  }).withSchema('treadle');
  known.set(queryable, db);
  return db;
};
