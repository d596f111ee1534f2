-- Ends jobs: each open row named in $1, a JSON array of $2 endings, moves to finished_jobs. Answers how many were open, and
-- their ids where some were not: such a job was ended by another attempt, or got another payload since its attempt was
-- relayed (`returns`, the number under which the attempt ran, is above the row's then). Ends somebody waits for are announced;
-- a parent that waits for the last of its children, or for none to fail, is made ready. $3: a limit counts
-- some of them, and the relay is told that the next may begin.
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
    failures, result, error, children_total, children_open, children_failed, children_before, awaits, child_failure,
    group_key, traceparent, children_spawned)
  SELECT gone.id, gone.name, gone.queue, ended.state, gone.priority, gone.tenant, gone.payload, gone.tags, gone.attempts_allowed,
    coalesce(ended.attempts_made, gone.attempts_made), gone.timeout_ms, gone.deduplication_key, gone.parent_id,
    gone.schedule_name, gone.due_at, gone.created_at, coalesce(ended.started_at, gone.started_at), clock_timestamp(),
    coalesce(ended.worker, gone.worker), coalesce(ended.progress, gone.progress),
    CASE WHEN ended.failure IS NULL THEN gone.failures ELSE gone.failures || jsonb_build_array(ended.failure) END,
    ended.result, ended.error, gone.children_total, gone.children_open, gone.children_failed, gone.children_before,
    gone.awaits, gone.child_failure, gone.group_key, gone.traceparent, gone.children_spawned
  FROM gone JOIN ended USING (id)
), left_behind AS (
  SELECT parent_id, count(*)::integer AS jobs, (count(*) FILTER (WHERE ended.state <> 'completed'))::integer AS failed
  FROM gone JOIN ended USING (id) WHERE parent_id IS NOT NULL GROUP BY parent_id
), locked AS MATERIALIZED (
  -- In one order, or two such statements would wait for each other.
  SELECT id FROM treadle.jobs WHERE id IN (SELECT parent_id FROM left_behind) ORDER BY id FOR NO KEY UPDATE
), parents AS (
  UPDATE treadle.jobs AS parent SET
    children_open = children_open - jobs,
    children_failed = children_failed + failed,
    state = CASE WHEN state = 'waiting-children' AND (children_open = jobs OR (child_failure = 'fail' AND failed > 0))
      THEN 'accepted' ELSE state END
  FROM left_behind WHERE parent.id = ANY (ARRAY(SELECT id FROM locked)) AND parent.id = left_behind.parent_id
  RETURNING parent.state
)
SELECT count(*)::integer AS ended,
  CASE WHEN count(*) < $2 THEN array_agg(id) END AS ids,
  count(pg_notify('treadle_jobs', id::text)) FILTER (WHERE watched) AS told,
  (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay
   WHERE sleeping AND EXISTS (SELECT FROM parents WHERE state = 'accepted')) AS woken,
  (SELECT pg_notify('treadle_relay', 'ended') WHERE $3) AS released
FROM gone
