-- Of those of the days ($1 workspaces, $2 days) that have more than $3 queries: forgets all but the $4 most frequent ones,
-- and the $4 most frequent ones without a result. Of equal ones the latest stay, so that a new query has time to grow.
WITH crowded AS (
  SELECT given.workspace_id, given.day FROM unnest($1::uuid[], $2::date[]) AS given (workspace_id, day)
  WHERE EXISTS (SELECT FROM treadle.search_queries AS q
    WHERE q.workspace_id = given.workspace_id AND q.day = given.day OFFSET $3)
), ranked AS (
  SELECT q.workspace_id, q.day, q.query, q.without_results,
    row_number() OVER (PARTITION BY q.workspace_id, q.day ORDER BY q.searches DESC, q.last_at DESC, q.query) AS popular,
    row_number() OVER (PARTITION BY q.workspace_id, q.day ORDER BY q.without_results DESC, q.last_at DESC, q.query) AS fruitless
  FROM crowded JOIN treadle.search_queries AS q ON q.workspace_id = crowded.workspace_id AND q.day = crowded.day
)
DELETE FROM treadle.search_queries AS q USING ranked AS r
WHERE q.workspace_id = r.workspace_id AND q.day = r.day AND q.query = r.query
  AND r.popular > $4 AND (r.fruitless > $4 OR r.without_results = 0)
