import type pg from 'pg';

type Query = <R extends pg.QueryResultRow = pg.QueryResultRow>(
  text: string,
  values?: unknown[],
) => Promise<{ rows: R[]; rowCount: number | null }>;

/**
 * The least that Treadle asks of a connection: a pool, a client, or the caller's own open transaction of any library
 * that answers node-postgres' `query`.
 */
export interface Queryable {
  query: Query;
}

/** A connection that can keep the plan of a statement it is asked often. */
export interface PreparingQueryable extends Queryable {
  /** As `query`; the statement is parsed and planned once a connection, where connections are not pgbouncer's to mix. */
  queryPrepared: Query;
}

/** Asks a statement that is asked often, over a connection of whichever kind. */
export const queryOften = <R extends pg.QueryResultRow>(
  db: Queryable | PreparingQueryable,
  text: string,
  values: unknown[],
): Promise<{ rows: R[]; rowCount: number | null }> =>
  'queryPrepared' in db ? db.queryPrepared<R>(text, values) : db.query<R>(text, values);
