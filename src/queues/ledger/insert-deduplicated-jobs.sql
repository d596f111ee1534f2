-- Accepts jobs that carry a deduplication key, given (`deduplication_key`) or made from payload paths (`paths`). Of several
-- with one key in the batch the last counts; a job of that key that waits already takes its payload. $1 as in
-- insert-jobs.sql. Answers, for each job given, the id of the job that stands for it.
WITH given AS (
  SELECT job.*, coalesce(job.deduplication_key, treadle.deduplication_key(job.paths, job.payload)) AS key
  FROM jsonb_to_recordset($1) AS job (
    position integer, id uuid, name text, queue text, priority smallint, tenant text, payload jsonb, tags text[],
    attempts smallint, timeout_ms integer, parent_id uuid, schedule_name text, due_at timestamptz, deduplication_key text, paths text[],
    group_paths text[], traceparent text)
), last AS (
  SELECT DISTINCT ON (name, tenant, key) * FROM given ORDER BY name, tenant, key, position DESC
), accepted AS (
  INSERT INTO treadle.jobs AS pending
    (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, timeout_ms, parent_id, schedule_name, due_at,
     deduplication_key, group_key, traceparent)
  SELECT id, name, queue,
    (CASE WHEN due_at > now() THEN 'delayed' ELSE 'accepted' END)::treadle.job_state,
    priority, tenant, payload, coalesce(tags, '{}'), attempts, timeout_ms, parent_id, schedule_name, coalesce(due_at, now()), key,
    CASE WHEN group_paths IS NULL THEN '' ELSE treadle.group_key(name, group_paths, payload) END, traceparent
  FROM last
  ON CONFLICT (name, tenant, deduplication_key)
    WHERE deduplication_key IS NOT NULL AND state IN ('accepted', 'delayed') AND returns <= 0
    DO UPDATE SET payload = excluded.payload, tags = excluded.tags, group_key = excluded.group_key,
      priority = least(pending.priority, excluded.priority),
      returns = pending.returns - 1, traceparent = excluded.traceparent
  RETURNING id, name, tenant, deduplication_key, state
)
SELECT given.position, accepted.id, accepted.state,
  (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping) AS woken
FROM given JOIN accepted ON accepted.name = given.name AND accepted.tenant = given.tenant AND accepted.deduplication_key = given.key
ORDER BY given.position
