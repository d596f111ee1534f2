-- Takes jobs back from their queue, to be relayed again when due. $1: a JSON array; `returns` is the number under which
-- the attempt ran, so that a stale attempt changes nothing. Answers the ids that were changed.
WITH given AS (
  SELECT * FROM jsonb_to_recordset($1) AS back (
    id uuid, returns integer, attempts_made smallint, due_at timestamptz, started_at timestamptz, worker text, failure jsonb)
), changed AS (
  UPDATE treadle.jobs AS job SET
    state = (CASE WHEN given.due_at > now() THEN 'delayed' ELSE 'accepted' END)::treadle.job_state,
    attempts_made = given.attempts_made,
    returns = abs(job.returns) + 1,
    due_at = given.due_at,
    started_at = coalesce(given.started_at, job.started_at),
    worker = given.worker,
    relayed_at = NULL,
    relay_epoch = NULL,
    bundle = NULL,
    failures = CASE WHEN given.failure IS NULL THEN job.failures ELSE job.failures || jsonb_build_array(given.failure) END
  FROM given
  WHERE job.id = ANY ($2) AND job.id = given.id AND job.returns = given.returns
  RETURNING job.id, job.watched
)
SELECT id, CASE WHEN watched THEN pg_notify('treadle_jobs', id::text) END,
  (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping) AS woken
FROM changed
