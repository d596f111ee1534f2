import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';

const statement = new URL('./reopen-jobs.sql', import.meta.url);

/** Puts dead or cancelled jobs back to work and answers how many were. */
export const reopenJobs = async (db: Queryable, ids: readonly string[]): Promise<number> => {
  const { rows } = await db.query(loadSql(statement), [ids]);
  return rows.length;
};
