import type { Postgres } from '../../lib/postgres/postgres.ts';

const batchSize = 5_000;

/** Of each workspace that has more than `most` searches, deletes the oldest; answers how many. */
export const deleteSearchesBeyond = async (postgres: Postgres, most: number, signal: AbortSignal): Promise<number> => {
  let deleted = 0;
  // The counts by day tell which may have as many, so that not every row is counted.
  const { rows } = await postgres.query<{ id: string }>(
    `SELECT workspace_id AS id FROM treadle.search_days GROUP BY workspace_id HAVING sum(searches) > $1`,
    [most],
  );
  for (const { id } of rows) {
    for (;;) {
      signal.throwIfAborted();
      const { rowCount } = await postgres.query(
        `DELETE FROM treadle.searches WHERE search_id = ANY (ARRAY(
           SELECT search_id FROM treadle.searches WHERE workspace_id = $1
           ORDER BY workspace_id, searched_at DESC OFFSET $2 LIMIT ${batchSize}))`,
        [id, most],
      );
      deleted += rowCount ?? 0;
      if ((rowCount ?? 0) < batchSize) break;
    }
  }
  return deleted;
};
