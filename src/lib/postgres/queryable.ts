import type pg from 'pg';

/**
 * The least that Treadle asks of a connection: a pool, a client, or the caller's own open transaction of any library
 * that answers node-postgres' `query`.
 */
export interface Queryable {
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values?: unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }>;
}

/** A connection that can keep the plan of a statement it is asked often. */
export interface PreparingQueryable extends Queryable {
  /** As `query`; the statement is parsed and planned once a connection, where connections are not pgbouncer's to mix. */
  queryPrepared<R extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values: unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }>;
}
