import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';

const reopen = new URL('./reopen-jobs.sql', import.meta.url);
const recount = new URL('./recount-children.sql', import.meta.url);

/** Puts dead or cancelled jobs back to work and answers how many were; see the statement for children. */
export const reopenJobs = async (tx: Transaction, ids: readonly string[]): Promise<number> => {
  const { rows } = await tx.query<{ id: string }>(loadSql(reopen), [ids]);
  await tx.query(loadSql(recount), [rows.map(({ id }) => id)]);
  return rows.length;
};
