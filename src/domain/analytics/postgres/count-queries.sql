-- Adds what was searched for ($1, a JSON array of rows) to the counts of its workspace and day.
INSERT INTO treadle.search_queries AS q (workspace_id, day, query, searches, without_results, last_at)
SELECT r.workspace_id, r.day, r.query, r.searches, r.without_results, r.last_at
FROM jsonb_to_recordset($1::jsonb) AS r (workspace_id uuid, day date, query text, searches integer, without_results integer,
  last_at timestamptz)
ORDER BY r.workspace_id, r.day, r.query COLLATE "C"
ON CONFLICT (workspace_id, day, query) DO UPDATE SET
  searches = q.searches + excluded.searches,
  without_results = q.without_results + excluded.without_results,
  last_at = greatest(q.last_at, excluded.last_at)
