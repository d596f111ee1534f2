-- Puts finished jobs ($1: ids) back to work with all their attempts. Their past failures stay with them. Answers the ids.
WITH gone AS (
  DELETE FROM treadle.finished_jobs WHERE id = ANY ($1) AND state IN ('dead', 'cancelled') RETURNING *
), back AS (
  INSERT INTO treadle.jobs (id, name, queue, priority, tenant, payload, tags, attempts_allowed, timeout_ms, returns, parent_id,
    schedule_name, created_at, failures)
  -- A number of returns that the job never had before, so that its new id in the queue is new there as well.
  SELECT id, name, queue, priority, tenant, payload, tags, attempts_allowed, timeout_ms,
    1 + (extract(epoch FROM clock_timestamp()) * 10)::bigint % 1000000000, parent_id, schedule_name, created_at, failures
  FROM gone
  RETURNING id
)
SELECT id, (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping) FROM back
