-- Notes that jobs run and how far they are. $1: a JSON array; started_at and progress may be absent. Jobs that ended or
-- went back meanwhile are left alone. Answers the jobs, and which of them somebody wants cancelled.
WITH given AS (
  SELECT * FROM jsonb_to_recordset($1) AS mark (id uuid, returns integer, started_at timestamptz, worker text, progress jsonb)
), changed AS (
  UPDATE treadle.jobs AS job SET
    state = 'active',
    started_at = coalesce(given.started_at, job.started_at),
    worker = given.worker,
    progress = coalesce(given.progress, job.progress)
  FROM given
  WHERE job.id = ANY ($2) AND job.id = given.id AND job.returns = given.returns AND job.state IN ('waiting', 'active')
  RETURNING job.id, job.watched, job.cancel_requested
)
SELECT id, cancel_requested, CASE WHEN watched THEN pg_notify('treadle_jobs', id::text) END FROM changed
