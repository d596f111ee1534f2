-- Accepts jobs that wait for children from the start. $1: a JSON array as in insert-jobs.sql, and for each the number of its
-- children and what their failure does; `large` where its payload is. The children are to follow in the same transaction.
WITH given AS (
  SELECT * FROM jsonb_to_recordset($1) AS job (
    id uuid, name text, queue text, priority smallint, tenant text, payload jsonb, tags text[], attempts smallint,
    timeout_ms integer, parent_id uuid, children integer, child_failure text, group_paths text[], large boolean, traceparent text)
), kept AS (
  INSERT INTO treadle.payloads (job_id, payload) SELECT id, payload FROM given WHERE large
)
INSERT INTO treadle.jobs
  (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, timeout_ms, parent_id,
   children_total, children_open, children_failed, children_before, awaits, child_failure, group_key, traceparent)
SELECT id, name, queue, 'waiting-children', priority, tenant, CASE WHEN large THEN 'null' ELSE payload END, coalesce(tags, '{}'),
  attempts, timeout_ms, parent_id, children, children, 0, children, 1, child_failure,
  CASE WHEN group_paths IS NULL THEN '' ELSE treadle.group_key(name, group_paths, payload) END,
  traceparent
FROM given
