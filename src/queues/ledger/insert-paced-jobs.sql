-- Accepts jobs of which some are debounced or throttled, or have a payload too large to be carried about; `debounce_ms`,
-- `throttle_ms` and `large` are set on those. Else as insert-deduplicated-jobs.sql, for jobs without a key too.
WITH given AS (
  SELECT job.*, coalesce(job.deduplication_key, treadle.deduplication_key(job.paths, job.payload)) AS key
  FROM jsonb_to_recordset($1) AS job (
    position integer, id uuid, name text, queue text, priority smallint, tenant text, payload jsonb, tags text[],
    attempts smallint, timeout_ms integer, parent_id uuid, schedule_name text, due_at timestamptz, deduplication_key text,
    paths text[], group_paths text[], traceparent text, debounce_ms bigint, debounce_max_ms bigint, throttle_ms bigint,
    large boolean)
), last AS (
  SELECT DISTINCT ON (name, tenant, key, CASE WHEN key IS NULL THEN id END) * FROM given
  ORDER BY name, tenant, key, CASE WHEN key IS NULL THEN id END, position DESC
), planned AS MATERIALIZED (
  SELECT last.*, CASE
    WHEN throttle_ms IS NOT NULL THEN treadle.throttled_due_at(name, tenant, key, throttle_ms)
    WHEN debounce_ms IS NOT NULL THEN treadle.debounced_due_at(clock_timestamp(), debounce_ms, debounce_max_ms)
    ELSE coalesce(due_at, now()) END AS run_at
  FROM last
), accepted AS (
  INSERT INTO treadle.jobs AS pending
    (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, timeout_ms, parent_id, schedule_name, due_at,
     deduplication_key, group_key, traceparent)
  SELECT id, name, queue, treadle.state_until(run_at), priority, tenant, CASE WHEN large THEN 'null' ELSE payload END,
    coalesce(tags, '{}'), attempts, timeout_ms, parent_id, schedule_name, run_at, key,
    CASE WHEN group_paths IS NULL THEN '' ELSE treadle.group_key(name, group_paths, payload) END, traceparent
  FROM planned
  ON CONFLICT (name, tenant, deduplication_key)
    WHERE deduplication_key IS NOT NULL AND state IN ('accepted', 'delayed') AND returns <= 0
    DO UPDATE SET payload = excluded.payload, tags = excluded.tags, group_key = excluded.group_key,
      priority = least(pending.priority, excluded.priority),
      returns = pending.returns - 1, traceparent = excluded.traceparent,
      (due_at, state) = (
        SELECT put_off.due_at, CASE WHEN debounce_ms IS NULL THEN pending.state ELSE treadle.state_until(put_off.due_at) END
        FROM planned, LATERAL (SELECT CASE WHEN debounce_ms IS NULL THEN pending.due_at
          ELSE treadle.debounced_due_at(pending.created_at, debounce_ms, debounce_max_ms) END AS due_at) AS put_off
        WHERE planned.id = excluded.id)
  -- Equal for a job and the row that stands for it, so that they are joined by hashing: of OR each is compared with each.
  RETURNING id, name, tenant, deduplication_key IS NULL AS alone, coalesce(deduplication_key, id::text) AS stands_for, state
), kept AS (
  INSERT INTO treadle.payloads (job_id, payload)
  SELECT accepted.id, planned.payload
  FROM planned JOIN accepted ON accepted.name = planned.name AND accepted.tenant = planned.tenant
    AND accepted.alone = (planned.key IS NULL) AND accepted.stands_for = coalesce(planned.key, planned.id::text)
  WHERE planned.large
  ON CONFLICT (job_id) DO UPDATE SET payload = excluded.payload
)
SELECT given.position, accepted.id, accepted.state,
  (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping) AS woken
FROM given JOIN accepted ON accepted.name = given.name AND accepted.tenant = given.tenant
  AND accepted.alone = (given.key IS NULL) AND accepted.stands_for = coalesce(given.key, given.id::text)
ORDER BY given.position
