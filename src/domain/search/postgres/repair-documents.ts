import type { Queryable } from '../../../lib/postgres/queryable.ts';

/** Writes the search rows that a trigger could not write when their document changed, and answers how many. */
export const repairDocuments = async (db: Queryable): Promise<number> => {
  const { rows } = await db.query<{ repaired: number }>('SELECT treadle.repair_search_documents() AS repaired');
  return rows[0]?.repaired ?? 0;
};
