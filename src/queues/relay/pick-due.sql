-- Picks jobs of queue $1 for relaying, in turns between tenants: from the tenant cursor $2 on, at most $4 tenants and $3 jobs
-- in all, shared equally between these tenants, of each the most urgent and oldest first. They become waiting under the
-- epoch $5, in bundles of $7 jobs named from $6 (one job: in none). `first`: where there is a backlog ($8), the first job of
-- a tenant that has none in the queue yet.
WITH RECURSIVE tenants AS (
  (SELECT tenant, 1 AS turn FROM treadle.jobs
   WHERE queue = $1 AND state = 'accepted' AND tenant >= $2 ORDER BY tenant LIMIT 1)
  UNION ALL
  SELECT (SELECT next.tenant FROM treadle.jobs AS next
          WHERE next.queue = $1 AND next.state = 'accepted' AND next.tenant > tenants.tenant ORDER BY next.tenant LIMIT 1),
    turn + 1
  FROM tenants WHERE tenants.tenant IS NOT NULL AND turn < $4
), quiet AS (
  -- LIMIT makes it one look into the index a tenant, where EXISTS became a join with all that is relayed.
  SELECT tenant FROM tenants
  WHERE $8::boolean AND (SELECT true FROM treadle.jobs AS open
    WHERE open.queue = $1 AND open.tenant = tenants.tenant AND open.state IN ('waiting', 'active') LIMIT 1) IS NULL
), picked AS (
  SELECT job.id, place, turn, place = 1 AND tenant IN (SELECT tenant FROM quiet) AS first
  FROM tenants, LATERAL (
    SELECT due.id, row_number() OVER () AS place FROM (
      SELECT id FROM treadle.jobs
      WHERE queue = $1 AND state = 'accepted' AND tenant = tenants.tenant
      ORDER BY priority, id LIMIT (SELECT greatest(1, ceil($3::numeric / count(tenant))) FROM tenants) FOR UPDATE SKIP LOCKED) AS due) AS job
  WHERE tenant IS NOT NULL ORDER BY place, turn LIMIT $3
), dealt AS (
  SELECT id, first, row_number() OVER (ORDER BY first DESC, place, turn) AS position FROM picked
)
UPDATE treadle.jobs AS job SET state = 'waiting', relayed_at = clock_timestamp(), relay_epoch = $5,
  bundle = CASE WHEN $7::integer > 1 AND NOT first THEN $6::text || '.' || ((position - 1) / $7)::text END
FROM dealt
WHERE job.id = ANY (ARRAY(SELECT id FROM dealt)) AND job.id = dealt.id
RETURNING job.id, name, tenant, payload, attempts_made, attempts_allowed, timeout_ms, returns, bundle, first, position
