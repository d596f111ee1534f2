-- Adds what was searched ($1, a JSON array of rows) to the counts of its workspace and day.
INSERT INTO treadle.search_days AS d (workspace_id, day, searches, without_results, degraded, response_time_ms, response_times)
SELECT r.workspace_id, r.day, r.searches, r.without_results, r.degraded, r.response_time_ms, r.response_times
FROM jsonb_to_recordset($1::jsonb) AS r (workspace_id uuid, day date, searches integer, without_results integer,
  degraded integer, response_time_ms bigint, response_times integer[])
ORDER BY r.workspace_id, r.day
ON CONFLICT (workspace_id, day) DO UPDATE SET
  searches = d.searches + excluded.searches,
  without_results = d.without_results + excluded.without_results,
  degraded = d.degraded + excluded.degraded,
  response_time_ms = d.response_time_ms + excluded.response_time_ms,
  response_times = ARRAY(
    SELECT coalesce(t.before, 0) + coalesce(t.added, 0)
    FROM unnest(d.response_times, excluded.response_times) WITH ORDINALITY AS t (before, added, bucket) ORDER BY t.bucket),
  closed = false
