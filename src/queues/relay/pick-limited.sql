-- As pick-due.sql, for a queue with limits or groups. Turns are taken by lanes (a tenant's group), from the lane ($2, $3) on,
-- at most $4 of them, and a tenant's lanes share its part, which is as large as its weight. $5: room in jobs, $6: epoch,
-- $7 and $8: name and size of bundles; jobs that are handled several at a time make bundles of their own. $9: whether there is a
-- backlog. $10: the version of the limits. $11: those of the queue and of tenants without their own, {"queue": {"concurrency", "rateMax", "ratePerMs"},
-- "tenant": {… "weight"}}. What is limited may run no more than `concurrency` at once, counting what waits in the queue, and begin
-- no more than `rateMax` in `ratePerMs`. The last row answered has no id: the last lane looked at, how many there were, whether a
-- limit held anything back, and after how many milliseconds a rate lets the next job begin.
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
), relayed AS MATERIALIZED (
  SELECT tenant, group_key, count(*)::integer AS jobs, (count(*) FILTER (WHERE state = 'waiting'))::integer AS waiting
  FROM treadle.jobs WHERE queue = $1 AND state IN ('waiting', 'active') GROUP BY tenant, group_key
), subjects AS (
  SELECT 'queue' AS scope, '' AS tenant, '' AS group_key, NULL::float8 AS weight, 1 AS batch_size,
    (given ->> 'concurrency')::integer AS concurrency, (given ->> 'rateMax')::integer AS rate_max,
    (given ->> 'ratePerMs')::integer AS rate_per_ms,
    (SELECT sum(jobs) FROM relayed) AS jobs, (SELECT sum(waiting) FROM relayed) AS waiting
  FROM (SELECT $11::jsonb -> 'queue' AS given) AS whole
  UNION ALL
  SELECT 'tenant', tenant, '', coalesce(own.weight, (given ->> 'weight')::float8, 1), 1,
    CASE WHEN own.queue IS NULL THEN (given ->> 'concurrency')::integer ELSE own.concurrency END,
    CASE WHEN own.queue IS NULL THEN (given ->> 'rateMax')::integer ELSE own.rate_max END,
    CASE WHEN own.queue IS NULL THEN (given ->> 'ratePerMs')::integer ELSE own.rate_per_ms END,
    (SELECT sum(jobs) FROM relayed WHERE relayed.tenant = lane.tenant),
    (SELECT sum(waiting) FROM relayed WHERE relayed.tenant = lane.tenant)
  FROM (SELECT DISTINCT tenant FROM lanes) AS lane
  CROSS JOIN (SELECT $11::jsonb -> 'tenant' AS given) AS every
  LEFT JOIN treadle.limits AS own ON own.queue = $1 AND own.scope = 'tenant' AND own.subject = lane.tenant
  UNION ALL
  SELECT 'group', lane.tenant, lane.group_key, NULL, coalesce(contract.batch_size, 1),
    contract.group_concurrency, contract.group_rate_max, contract.group_rate_per_ms, relayed.jobs, relayed.waiting
  FROM lanes AS lane
  LEFT JOIN treadle.contracts AS contract ON contract.name = split_part(lane.group_key, E'\x1f', 1)
  LEFT JOIN relayed ON relayed.tenant = lane.tenant AND relayed.group_key = lane.group_key
), rates AS (
  -- What a rate let go and nobody has begun is not to pile up, or it would all begin at once.
  SELECT scope, tenant, group_key, rate_max, rate_per_ms,
    greatest(0, least(burst - coalesce(waiting, 0), coalesce(bucket.tokens
      + greatest(0, extract(epoch FROM clock_timestamp() - bucket.refilled_at)) * 1000 * rate_max / rate_per_ms, burst))) AS tokens
  FROM subjects
  CROSS JOIN LATERAL (SELECT treadle.rate_burst(rate_max, rate_per_ms) AS burst) AS most
  LEFT JOIN (SELECT * FROM treadle.rate_buckets WHERE queue = $1) AS bucket USING (scope, tenant, group_key)
  WHERE rate_max IS NOT NULL
), rooms AS (
  SELECT subjects.*, greatest(0, least(concurrency - coalesce(jobs, 0), floor(rates.tokens), $5))::integer AS room
  FROM subjects LEFT JOIN rates USING (scope, tenant, group_key)
), shares AS (
  SELECT lanes.tenant, lanes.group_key, lanes.turn, tenant.weight, tenant.room AS tenant_room, lane.batch_size, whole.room AS queue_room,
    least(lane.room, greatest(lane.batch_size, ceil(
      least(tenant.room, ceil(whole.room * tenant.weight / greatest(tenant.weight, total.weight))) / count(*) OVER (PARTITION BY lanes.tenant))))::integer AS share
  FROM lanes
  JOIN rooms AS lane ON lane.scope = 'group' AND lane.tenant = lanes.tenant AND lane.group_key = lanes.group_key
  JOIN rooms AS tenant ON tenant.scope = 'tenant' AND tenant.tenant = lanes.tenant
  JOIN rooms AS whole ON whole.scope = 'queue'
  CROSS JOIN (SELECT sum(weight) AS weight FROM rooms WHERE scope = 'tenant' AND room > 0) AS total
  WHERE lane.room > 0 AND tenant.room > 0 AND whole.room > 0
), found AS (
  SELECT job.id, shares.*, place
  FROM shares, LATERAL (
    SELECT due.id, row_number() OVER () AS place FROM (
      SELECT id FROM treadle.jobs
      WHERE queue = $1 AND state = 'accepted' AND tenant = shares.tenant AND group_key = shares.group_key
      ORDER BY priority, id LIMIT shares.share FOR UPDATE SKIP LOCKED) AS due) AS job
), turns AS (
  SELECT found.*, row_number() OVER (PARTITION BY tenant ORDER BY (place - 1) / batch_size, turn, place) AS tenant_place
  FROM found
), picked AS (
  SELECT *, (place - 1) / batch_size AS batch, tenant_place = 1 AND $9 AND batch_size = 1 AND tenant NOT IN (SELECT tenant FROM relayed) AS first,
    row_number() OVER (ORDER BY ((tenant_place - 1) / batch_size) / weight, turn, place) AS position
  FROM turns WHERE tenant_place <= tenant_room
  ORDER BY position LIMIT (SELECT min(queue_room) FROM shares)
), cards AS MATERIALIZED (
  -- By id, because a join with the table is planned without knowing how few they are.
  SELECT jsonb_object_agg(id, jsonb_build_array(
    CASE WHEN batch_size > 1 THEN $7::text || '.' || turn || '-' || batch
      WHEN $8::integer > 1 AND NOT first THEN $7::text || '.' || ((position - 1) / $8)::text END, first, position)) AS of
  FROM picked
), spent AS (
  INSERT INTO treadle.rate_buckets AS bucket (queue, scope, tenant, group_key, tokens, refilled_at)
  SELECT $1, scope, tenant, group_key, tokens - (
      SELECT count(*) FROM picked WHERE scope = 'queue'
        OR picked.tenant = rates.tenant AND (scope = 'tenant' OR picked.group_key = rates.group_key)), clock_timestamp()
  FROM rates
  ON CONFLICT (queue, scope, tenant, group_key) DO UPDATE SET tokens = excluded.tokens, refilled_at = excluded.refilled_at
), relaying AS (
  UPDATE treadle.jobs AS job SET state = 'waiting', relayed_at = clock_timestamp(), relay_epoch = $6,
    bundle = (SELECT of FROM cards) -> id::text ->> 0
  WHERE id = ANY (ARRAY(SELECT id FROM picked))
  RETURNING id, name, tenant, group_key, payload, attempts_made, attempts_allowed, timeout_ms, returns, bundle,
    ((SELECT of FROM cards) -> id::text ->> 1)::boolean AS first, ((SELECT of FROM cards) -> id::text ->> 2)::bigint AS position,
    awaits, CASE WHEN child_failure = 'fail' AND children_failed > 0 AND children_spawned IS NULL THEN children_failed END AS children_failed,
    CASE WHEN due_at > created_at THEN (extract(epoch FROM due_at) * 1000)::float8 END AS due_ms, traceparent
)
SELECT *, (SELECT bool_or(concurrency IS NOT NULL) FROM rooms) AS capped, NULL::integer AS lanes, NULL::boolean AS held,
  NULL::float8 AS held_ms FROM relaying
UNION ALL
SELECT NULL, NULL, last.tenant, last.group_key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  last.turn, EXISTS (SELECT FROM rooms WHERE room = 0),
  (SELECT min((1 - tokens) * rate_per_ms / rate_max) FROM rates WHERE tokens < 1)
FROM (SELECT tenant, group_key, turn FROM lanes ORDER BY turn DESC LIMIT 1) AS last
