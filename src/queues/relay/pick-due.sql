-- Picks jobs of queue $1 for relaying, in turns between lanes (a tenant's group; most have none): from the lane ($2, $3) on, at
-- most $4 lanes and $5 jobs in all, shared equally between these lanes, of each the most urgent and oldest first. They become
-- waiting under the epoch $6, in bundles of $8 jobs named from $7 (one job: in none). `first`: where there is a backlog ($9), the
-- first job of a tenant that has none in the queue yet. Nothing is picked while there are newer limits than version $10.
WITH RECURSIVE lanes AS (
  (SELECT tenant, group_key, 1 AS turn FROM treadle.jobs
   WHERE queue = $1 AND state = 'accepted' AND (tenant, group_key) >= ($2, $3) AND (SELECT limits_version FROM treadle.relay) = $10
   ORDER BY tenant, group_key LIMIT 1)
  UNION ALL
  SELECT next.tenant, next.group_key, turn + 1
  FROM lanes, LATERAL (
    SELECT job.tenant, job.group_key FROM treadle.jobs AS job
    WHERE job.queue = $1 AND job.state = 'accepted' AND (job.tenant, job.group_key) > (lanes.tenant, lanes.group_key)
    ORDER BY job.tenant, job.group_key LIMIT 1) AS next
  WHERE turn < $4
), quiet AS (
  -- LIMIT makes it one look into the index a tenant, where EXISTS became a join with all that is relayed.
  SELECT tenant FROM lanes
  WHERE $9::boolean AND (SELECT true FROM treadle.jobs AS open
    WHERE open.queue = $1 AND open.tenant = lanes.tenant AND open.state IN ('waiting', 'active') LIMIT 1) IS NULL
), picked AS (
  SELECT job.id, place, turn, place = 1 AND tenant IN (SELECT tenant FROM quiet) AS first
  FROM lanes, LATERAL (
    SELECT due.id, row_number() OVER () AS place FROM (
      SELECT id FROM treadle.jobs
      WHERE queue = $1 AND state = 'accepted' AND tenant = lanes.tenant AND group_key = lanes.group_key
      ORDER BY priority, id LIMIT (SELECT greatest(1, ceil($5::numeric / count(*))) FROM lanes) FOR UPDATE SKIP LOCKED) AS due) AS job
  ORDER BY place, turn LIMIT $5
), dealt AS (
  SELECT id, first, row_number() OVER (ORDER BY first DESC, place, turn) AS position FROM picked
)
UPDATE treadle.jobs AS job SET state = 'waiting', relayed_at = clock_timestamp(), relay_epoch = $6,
  bundle = CASE WHEN $8::integer > 1 AND NOT first THEN $7::text || '.' || ((position - 1) / $8)::text END
FROM dealt
WHERE job.id = ANY (ARRAY(SELECT id FROM dealt)) AND job.id = dealt.id
RETURNING job.id, name, tenant, group_key, payload, attempts_made, attempts_allowed, timeout_ms, returns, bundle, first, position,
  awaits, CASE WHEN child_failure = 'fail' AND children_failed > 0 AND children_spawned IS NULL THEN children_failed END AS children_failed,
  CASE WHEN due_at > created_at THEN (extract(epoch FROM due_at) * 1000)::float8 END AS due_ms, traceparent
