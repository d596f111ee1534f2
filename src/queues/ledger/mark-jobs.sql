-- Notes that jobs run and how far they are. $1: a JSON array; started_at and progress may be absent. Jobs that ended or
-- went back meanwhile are left alone. Waits for nobody: whoever ends jobs locks them in another order, and each would wait for
-- the other until Postgres ends one of them. Answers the jobs, which of them somebody wants cancelled, and which are `busy`,
-- locked by somebody and not noted.
WITH given AS (
  SELECT * FROM jsonb_to_recordset($1) AS mark (id uuid, returns integer, started_at timestamptz, worker text, progress jsonb)
), free AS (
  SELECT id FROM treadle.jobs WHERE id = ANY ($2) FOR NO KEY UPDATE SKIP LOCKED
), changed AS (
  UPDATE treadle.jobs AS job SET
    state = 'active',
    started_at = coalesce(given.started_at, job.started_at),
    worker = given.worker,
    progress = coalesce(given.progress, job.progress)
  FROM given
  WHERE job.id = ANY (ARRAY(SELECT id FROM free)) AND job.id = given.id AND job.returns = given.returns
    AND job.state IN ('waiting', 'active')
  RETURNING job.id, job.watched, job.cancel_requested
)
SELECT id, cancel_requested, false AS busy, CASE WHEN watched THEN pg_notify('treadle_jobs', id::text) END FROM changed
UNION ALL
SELECT id, false, true, NULL FROM treadle.jobs WHERE id = ANY ($2) AND id NOT IN (SELECT id FROM free)
