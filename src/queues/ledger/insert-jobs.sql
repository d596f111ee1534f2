-- Accepts jobs in one statement. $1: a JSON array of jobs, absent fields taking their default. Wakes the relay if it sleeps.
-- Answers one row: whether any of the jobs waits for a later time.
WITH given AS (
  SELECT * FROM jsonb_to_recordset($1) AS job (
    id uuid, name text, queue text, priority smallint, tenant text, payload jsonb, tags text[], attempts smallint,
    timeout_ms integer, parent_id uuid, schedule_name text, due_at timestamptz, group_paths text[], traceparent text)
), accepted AS (
  INSERT INTO treadle.jobs
    (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, timeout_ms, parent_id, schedule_name, due_at, group_key,
     traceparent)
  SELECT id, name, queue,
    (CASE WHEN due_at > now() THEN 'delayed' ELSE 'accepted' END)::treadle.job_state,
    priority, tenant, payload, coalesce(tags, '{}'), attempts, timeout_ms, parent_id, schedule_name, coalesce(due_at, now()),
    CASE WHEN group_paths IS NULL THEN '' ELSE treadle.group_key(name, group_paths, payload) END, traceparent
  FROM given
)
SELECT (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping)
