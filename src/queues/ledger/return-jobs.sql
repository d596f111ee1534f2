-- Takes jobs back from their queue, to be relayed again when due. $1: a JSON array; `returns` is the number under which
-- the attempt ran, so that a stale attempt changes nothing. With `child_failure` the job waits for its children. $3: as in
-- finish-jobs.sql. Answers the jobs that were changed, and which of them somebody wants cancelled.
WITH given AS (
  SELECT * FROM jsonb_to_recordset($1) AS back (
    id uuid, returns integer, attempts_made smallint, due_at timestamptz, started_at timestamptz, worker text, failure jsonb,
    child_failure text, traceparent text)
), changed AS (
  UPDATE treadle.jobs AS job SET
    state = (CASE
      WHEN given.child_failure IS NOT NULL AND job.children_open > 0
        AND NOT (given.child_failure = 'fail' AND job.children_failed > 0) THEN 'waiting-children'
      WHEN given.due_at > now() THEN 'delayed'
      ELSE 'accepted' END)::treadle.job_state,
    awaits = CASE WHEN given.child_failure IS NULL THEN job.awaits ELSE coalesce(job.awaits, 0) + 1 END,
    children_spawned = CASE WHEN given.child_failure IS NULL THEN job.children_spawned END,
    children_before = CASE WHEN given.child_failure IS NULL THEN job.children_before ELSE job.children_total END,
    child_failure = coalesce(given.child_failure, job.child_failure),
    attempts_made = given.attempts_made,
    returns = abs(job.returns) + 1,
    due_at = given.due_at,
    started_at = coalesce(given.started_at, job.started_at),
    worker = given.worker,
    relayed_at = NULL,
    relay_epoch = NULL,
    bundle = NULL,
    traceparent = coalesce(job.traceparent, given.traceparent),
    failures = CASE WHEN given.failure IS NULL THEN job.failures ELSE job.failures || jsonb_build_array(given.failure) END
  FROM given
  WHERE job.id = ANY ($2) AND job.id = given.id AND job.returns = given.returns
  RETURNING job.id, job.watched, job.cancel_requested
)
SELECT id, cancel_requested, CASE WHEN watched THEN pg_notify('treadle_jobs', id::text) END,
  (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping) AS woken,
  (SELECT pg_notify('treadle_relay', 'ended') WHERE $3) AS released
FROM changed
