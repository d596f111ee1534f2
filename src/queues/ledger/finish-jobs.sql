-- Ends jobs: each open row named in $1, a JSON array of $2 endings, moves to finished_jobs. Answers how many were open, and
-- their ids where some were not: such a job was ended by another attempt, or got another payload since its attempt was
-- relayed (`returns`, the number under which the attempt ran, is above the row's then). Ends somebody waits for are announced.
WITH ended AS (
  SELECT DISTINCT ON (id) * FROM jsonb_to_recordset($1) AS ending (
    id uuid, state treadle.job_state, attempts_made smallint, started_at timestamptz, worker text, result jsonb, error jsonb,
    failure jsonb, progress jsonb, returns integer)
), gone AS (
  DELETE FROM treadle.jobs AS job
  WHERE id = ANY (ARRAY(SELECT id FROM ended)) AND (returns >= 0 OR NOT EXISTS (SELECT 1 FROM ended WHERE ended.id = job.id AND ended.returns > job.returns))
  RETURNING *
), kept AS (
  INSERT INTO treadle.finished_jobs (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, attempts_made,
    timeout_ms, deduplication_key, parent_id, schedule_name, due_at, created_at, started_at, finished_at, worker, progress,
    failures, result, error)
  SELECT gone.id, gone.name, gone.queue, ended.state, gone.priority, gone.tenant, gone.payload, gone.tags, gone.attempts_allowed,
    coalesce(ended.attempts_made, gone.attempts_made), gone.timeout_ms, gone.deduplication_key, gone.parent_id,
    gone.schedule_name, gone.due_at, gone.created_at, coalesce(ended.started_at, gone.started_at), clock_timestamp(),
    coalesce(ended.worker, gone.worker), coalesce(ended.progress, gone.progress),
    CASE WHEN ended.failure IS NULL THEN gone.failures ELSE gone.failures || jsonb_build_array(ended.failure) END,
    ended.result, ended.error
  FROM gone JOIN ended USING (id)
)
SELECT count(*)::integer AS ended,
  CASE WHEN count(*) < $2 THEN array_agg(id) END AS ids,
  count(pg_notify('treadle_jobs', id::text)) FILTER (WHERE watched) AS told
FROM gone
