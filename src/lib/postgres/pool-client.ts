import type { PostgresCursor, PostgresPoolClient, PostgresQueryResult } from 'kysely';

/** Runs one statement. */
export type Ask = <R>(text: string, values: readonly unknown[]) => Promise<PostgresQueryResult<R>>;

/** What Kysely takes from a pool, made of how a statement is asked. */
export const clientOf = (ask: Ask, release: () => void): PostgresPoolClient => {
  function query<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>>;
  function query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>;
  function query<R>(
    asked: string | PostgresCursor<R>,
    values: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<R>> | PostgresCursor<R> {
    if (typeof asked !== 'string') throw new TypeError('there are no cursors here');
    return ask<R>(asked, values);
  }
  return { query, release };
};
