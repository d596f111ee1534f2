-- Picks jobs of queue $1 for relaying, in turns between tenants: from the tenant cursor $2 on, at most $4 tenants and $3 jobs
-- in all, shared equally between these tenants, of each the most urgent and oldest first. They become waiting under the
-- epoch $5. `busy`: the tenant has jobs in the queue already.
WITH RECURSIVE tenants AS (
  (SELECT tenant, 1 AS turn FROM treadle.jobs
   WHERE queue = $1 AND state = 'accepted' AND tenant >= $2 ORDER BY tenant LIMIT 1)
  UNION ALL
  SELECT (SELECT next.tenant FROM treadle.jobs AS next
          WHERE next.queue = $1 AND next.state = 'accepted' AND next.tenant > tenants.tenant ORDER BY next.tenant LIMIT 1),
    turn + 1
  FROM tenants WHERE tenants.tenant IS NOT NULL AND turn < $4
), busy AS (
  -- LIMIT makes it one look into the index a tenant, where EXISTS became a join with all that is relayed.
  SELECT tenant FROM tenants
  WHERE (SELECT true FROM treadle.jobs AS open
         WHERE open.queue = $1 AND open.tenant = tenants.tenant AND open.state IN ('waiting', 'active') LIMIT 1)
), picked AS (
  SELECT job.id FROM tenants, LATERAL (
    SELECT id FROM treadle.jobs AS due
    WHERE due.queue = $1 AND due.state = 'accepted' AND due.tenant = tenants.tenant
    ORDER BY due.priority, due.id LIMIT (SELECT greatest(1, ceil($3::numeric / count(tenant))) FROM tenants) FOR UPDATE SKIP LOCKED) AS job
  WHERE tenants.tenant IS NOT NULL ORDER BY turn LIMIT $3
)
UPDATE treadle.jobs SET state = 'waiting', relayed_at = clock_timestamp(), relay_epoch = $5
WHERE id = ANY (ARRAY(SELECT id FROM picked))
RETURNING id, name, tenant, priority, payload, attempts_made, attempts_allowed, timeout_ms, returns,
  tenant = ANY (ARRAY(SELECT tenant FROM busy)) AS busy
