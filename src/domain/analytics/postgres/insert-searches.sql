-- Keeps searches ($1, a JSON array of rows) of workspaces that there are; answers those that were not kept before.
INSERT INTO treadle.searches (search_id, workspace_id, day, user_id, query, normalized_query, mode, filters, result_count,
  response_time_ms, backend, degraded, searched_at)
SELECT r.search_id, w.id, (r.searched_at AT TIME ZONE w.time_zone)::date, r.user_id, r.query, r.normalized_query, r.mode,
  r.filters, r.result_count, r.response_time_ms, r.backend, r.degraded, r.searched_at
FROM jsonb_to_recordset($1::jsonb) AS r (search_id uuid, workspace_id uuid, user_id text, query text, normalized_query text,
    mode text, filters jsonb, result_count integer, response_time_ms integer, backend text, degraded boolean,
    searched_at timestamptz)
  JOIN treadle.workspaces AS w ON w.id = r.workspace_id
ORDER BY r.search_id
ON CONFLICT (search_id) DO NOTHING
RETURNING search_id AS "searchId", day::text AS day
