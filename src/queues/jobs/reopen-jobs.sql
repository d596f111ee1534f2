-- Puts finished jobs ($1: ids) back to work with all their attempts. Their past failures stay with them. A job that ended for
-- its children, or was cancelled with them, takes its failed children along. Answers the ids.
WITH RECURSIVE wanted AS (
  SELECT id, state = 'cancelled' OR error ->> 'code' = 'CHILD_FAILED' AS with_children
  FROM treadle.finished_jobs WHERE id = ANY ($1) AND state IN ('dead', 'cancelled')
  UNION
  SELECT child.id, child.state = 'cancelled' OR child.error ->> 'code' = 'CHILD_FAILED'
  FROM wanted JOIN treadle.finished_jobs AS child ON child.parent_id = wanted.id
  WHERE with_children AND child.state IN ('dead', 'cancelled')
), gone AS (
  DELETE FROM treadle.finished_jobs WHERE id = ANY (ARRAY(SELECT id FROM wanted)) AND state IN ('dead', 'cancelled') RETURNING *
), back AS (
  INSERT INTO treadle.jobs (id, name, queue, priority, tenant, payload, tags, attempts_allowed, timeout_ms, returns, parent_id,
    schedule_name, created_at, failures, children_total, children_open, children_failed, children_before, awaits, child_failure, group_key,
    traceparent, children_spawned)
  -- A number of returns that the job never had before, so that its new id in the queue is new there as well.
  SELECT id, name, queue, priority, tenant, payload, tags, attempts_allowed, timeout_ms,
    1 + (extract(epoch FROM clock_timestamp()) * 10)::bigint % 1000000000, parent_id, schedule_name, created_at, failures,
    children_total, 0, CASE WHEN children_total IS NOT NULL THEN 0 END, children_before, awaits, child_failure, group_key, traceparent,
    children_spawned
  FROM gone
  RETURNING id
)
SELECT id, (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping) FROM back
