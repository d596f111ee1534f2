-- Up Migration

-- Flows: a job may have children and wait for them. The counts are kept by whatever adds or ends a child; NULL: none.
ALTER TABLE treadle.jobs
  ADD COLUMN children_total integer,
  ADD COLUMN children_open integer,
  -- Of those added since the job last waited.
  ADD COLUMN children_failed integer,
  -- How many there were when it last began to wait: those above were added in its present phase.
  ADD COLUMN children_before integer,
  -- How often it has waited for its children.
  ADD COLUMN awaits smallint,
  -- While it waits: what one child's failure does.
  ADD COLUMN child_failure text CHECK (child_failure IN ('fail', 'continue'));
CREATE INDEX jobs_waiting_children ON treadle.jobs (id) WHERE state = 'waiting-children';
DROP INDEX treadle.jobs_parent;
CREATE INDEX jobs_parent ON treadle.jobs (parent_id, id) WHERE parent_id IS NOT NULL;

-- As they were when the job ended.
ALTER TABLE treadle.finished_jobs
  ADD COLUMN children_total integer,
  ADD COLUMN children_open integer,
  ADD COLUMN children_failed integer,
  ADD COLUMN children_before integer,
  ADD COLUMN awaits smallint,
  ADD COLUMN child_failure text;
DROP INDEX treadle.finished_jobs_parent;
CREATE INDEX finished_jobs_parent ON treadle.finished_jobs (parent_id, id) WHERE parent_id IS NOT NULL;

CREATE OR REPLACE VIEW treadle.all_jobs AS
  SELECT id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, attempts_made, timeout_ms,
    deduplication_key, parent_id, schedule_name, due_at, created_at, started_at, NULL::timestamptz AS finished_at, worker,
    progress, failures, NULL::jsonb AS result, NULL::jsonb AS error,
    children_total, children_open, children_failed
  FROM treadle.jobs
  UNION ALL
  SELECT id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, attempts_made, timeout_ms,
    deduplication_key, parent_id, schedule_name, due_at, created_at, started_at, finished_at, worker,
    progress, failures, result, error,
    children_total, children_open, children_failed
  FROM treadle.finished_jobs;

-- As before; a job with a parent is counted there, and its parent must be open.
CREATE OR REPLACE FUNCTION treadle.enqueue(name text, payload jsonb, options jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
#variable_conflict use_column
DECLARE
  contract treadle.contracts;
  unknown text;
  dedup text;
  due timestamptz;
  job uuid;
  known_hash text;
  known_job uuid;
  request text;
BEGIN
  SELECT * INTO contract FROM treadle.contracts AS c WHERE c.name = enqueue.name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'treadle.enqueue: there is no job named %', quote_nullable(enqueue.name)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT name FROM treadle.contracts lists the jobs.';
  END IF;
  IF payload IS NULL OR jsonb_typeof(payload) <> 'object' THEN
    RAISE EXCEPTION 'treadle.enqueue: the payload of % must be a JSON object', enqueue.name
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  options := coalesce(options, '{}');
  IF jsonb_typeof(options) <> 'object' THEN
    RAISE EXCEPTION 'treadle.enqueue: options must be a JSON object' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  SELECT string_agg(key, ', ') INTO unknown FROM jsonb_object_keys(options) AS key
    WHERE key NOT IN ('delayMs', 'runAt', 'priority', 'tenant', 'tags', 'attempts', 'timeoutMs', 'deduplicationKey', 'idempotencyKey', 'parent');
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION 'treadle.enqueue: unknown option %', unknown USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF options ? 'delayMs' AND options ? 'runAt' THEN
    RAISE EXCEPTION 'treadle.enqueue: give delayMs or runAt, not both' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF (options ->> 'delayMs')::numeric < 0 THEN
    RAISE EXCEPTION 'treadle.enqueue: delayMs must not be negative' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF (options ->> 'priority')::numeric NOT BETWEEN 1 AND 9 THEN
    RAISE EXCEPTION 'treadle.enqueue: priority must be from 1 (first) to 9 (last)' USING ERRCODE = 'invalid_parameter_value';
  END IF;

  IF options ? 'idempotencyKey' THEN
    request := encode(sha256(convert_to(payload::text || (options - 'idempotencyKey')::text, 'UTF8')), 'hex');
    job := treadle.uuid_v7();
    INSERT INTO treadle.idempotency_keys (scope, key, request_hash, job_id)
      VALUES ('sql:' || enqueue.name, options ->> 'idempotencyKey', request, job)
      ON CONFLICT (scope, key) DO NOTHING;
    IF NOT FOUND THEN
      SELECT request_hash, job_id INTO known_hash, known_job FROM treadle.idempotency_keys AS k
        WHERE k.scope = 'sql:' || enqueue.name AND k.key = options ->> 'idempotencyKey';
      IF known_hash <> request THEN
        RAISE EXCEPTION 'treadle.enqueue: the idempotency key was used with another payload or other options'
          USING ERRCODE = 'unique_violation';
      END IF;
      RETURN known_job;
    END IF;
  END IF;

  -- A child belongs to one parent, so it never stands for another job.
  IF options ? 'parent' THEN
    IF options ? 'deduplicationKey' THEN
      RAISE EXCEPTION 'treadle.enqueue: give parent or deduplicationKey, not both' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE treadle.jobs AS parent SET
      children_failed = CASE WHEN children_total > children_before THEN children_failed ELSE 0 END,
      children_before = coalesce(children_before, 0),
      children_total = coalesce(children_total, 0) + 1,
      children_open = coalesce(children_open, 0) + 1
      WHERE parent.id = (options ->> 'parent')::uuid;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'treadle.enqueue: parent % is not an open job', options ->> 'parent' USING ERRCODE = 'invalid_parameter_value';
    END IF;
  ELSE
    dedup := coalesce(options ->> 'deduplicationKey', treadle.deduplication_key(contract.deduplicate_by, payload));
  END IF;
  due := coalesce((options ->> 'runAt')::timestamptz, now() + make_interval(secs => coalesce((options ->> 'delayMs')::float8, 0) / 1000));
  INSERT INTO treadle.jobs AS pending
    (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, timeout_ms, deduplication_key, parent_id, due_at)
  VALUES (
    coalesce(job, treadle.uuid_v7()), contract.name, contract.queue,
    (CASE WHEN due > now() THEN 'delayed' ELSE 'accepted' END)::treadle.job_state,
    coalesce((options ->> 'priority')::smallint, contract.priority),
    coalesce(options ->> 'tenant', payload ->> 'workspaceId', ''),
    payload,
    CASE WHEN options ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(options -> 'tags')) ELSE '{}' END,
    coalesce((options ->> 'attempts')::smallint, contract.attempts),
    coalesce((options ->> 'timeoutMs')::integer, contract.timeout_ms),
    dedup,
    (options ->> 'parent')::uuid,
    due)
  ON CONFLICT (name, tenant, deduplication_key)
    WHERE deduplication_key IS NOT NULL AND state IN ('accepted', 'delayed') AND returns <= 0
    DO UPDATE SET payload = excluded.payload, tags = excluded.tags, priority = least(pending.priority, excluded.priority),
      returns = pending.returns - 1
  RETURNING pending.id INTO job;
  IF options ? 'idempotencyKey' THEN
    UPDATE treadle.idempotency_keys AS k SET job_id = job
      WHERE k.scope = 'sql:' || enqueue.name AND k.key = options ->> 'idempotencyKey' AND k.job_id <> job;
  END IF;
  IF due <= now() THEN
    PERFORM pg_notify('treadle_relay', '') FROM treadle.relay WHERE sleeping;
  END IF;
  RETURN job;
END
$$;

-- Down Migration
DROP VIEW treadle.all_jobs;
CREATE VIEW treadle.all_jobs AS
  SELECT id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, attempts_made, timeout_ms,
    deduplication_key, parent_id, schedule_name, due_at, created_at, started_at, NULL::timestamptz AS finished_at, worker,
    progress, failures, NULL::jsonb AS result, NULL::jsonb AS error
  FROM treadle.jobs
  UNION ALL
  SELECT id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, attempts_made, timeout_ms,
    deduplication_key, parent_id, schedule_name, due_at, created_at, started_at, finished_at, worker,
    progress, failures, result, error
  FROM treadle.finished_jobs;
CREATE OR REPLACE FUNCTION treadle.enqueue(name text, payload jsonb, options jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
#variable_conflict use_column
DECLARE
  contract treadle.contracts;
  unknown text;
  dedup text;
  due timestamptz;
  job uuid;
  known_hash text;
  known_job uuid;
  request text;
BEGIN
  SELECT * INTO contract FROM treadle.contracts AS c WHERE c.name = enqueue.name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'treadle.enqueue: there is no job named %', quote_nullable(enqueue.name)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT name FROM treadle.contracts lists the jobs.';
  END IF;
  IF payload IS NULL OR jsonb_typeof(payload) <> 'object' THEN
    RAISE EXCEPTION 'treadle.enqueue: the payload of % must be a JSON object', enqueue.name
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  options := coalesce(options, '{}');
  IF jsonb_typeof(options) <> 'object' THEN
    RAISE EXCEPTION 'treadle.enqueue: options must be a JSON object' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  SELECT string_agg(key, ', ') INTO unknown FROM jsonb_object_keys(options) AS key
    WHERE key NOT IN ('delayMs', 'runAt', 'priority', 'tenant', 'tags', 'attempts', 'timeoutMs', 'deduplicationKey', 'idempotencyKey', 'parent');
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION 'treadle.enqueue: unknown option %', unknown USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF options ? 'delayMs' AND options ? 'runAt' THEN
    RAISE EXCEPTION 'treadle.enqueue: give delayMs or runAt, not both' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF (options ->> 'delayMs')::numeric < 0 THEN
    RAISE EXCEPTION 'treadle.enqueue: delayMs must not be negative' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF (options ->> 'priority')::numeric NOT BETWEEN 1 AND 9 THEN
    RAISE EXCEPTION 'treadle.enqueue: priority must be from 1 (first) to 9 (last)' USING ERRCODE = 'invalid_parameter_value';
  END IF;

  IF options ? 'idempotencyKey' THEN
    request := encode(sha256(convert_to(payload::text || (options - 'idempotencyKey')::text, 'UTF8')), 'hex');
    job := treadle.uuid_v7();
    INSERT INTO treadle.idempotency_keys (scope, key, request_hash, job_id)
      VALUES ('sql:' || enqueue.name, options ->> 'idempotencyKey', request, job)
      ON CONFLICT (scope, key) DO NOTHING;
    IF NOT FOUND THEN
      SELECT request_hash, job_id INTO known_hash, known_job FROM treadle.idempotency_keys AS k
        WHERE k.scope = 'sql:' || enqueue.name AND k.key = options ->> 'idempotencyKey';
      IF known_hash <> request THEN
        RAISE EXCEPTION 'treadle.enqueue: the idempotency key was used with another payload or other options'
          USING ERRCODE = 'unique_violation';
      END IF;
      RETURN known_job;
    END IF;
  END IF;

  dedup := coalesce(options ->> 'deduplicationKey', treadle.deduplication_key(contract.deduplicate_by, payload));
  due := coalesce((options ->> 'runAt')::timestamptz, now() + make_interval(secs => coalesce((options ->> 'delayMs')::float8, 0) / 1000));
  INSERT INTO treadle.jobs AS pending
    (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, timeout_ms, deduplication_key, parent_id, due_at)
  VALUES (
    coalesce(job, treadle.uuid_v7()), contract.name, contract.queue,
    (CASE WHEN due > now() THEN 'delayed' ELSE 'accepted' END)::treadle.job_state,
    coalesce((options ->> 'priority')::smallint, contract.priority),
    coalesce(options ->> 'tenant', payload ->> 'workspaceId', ''),
    payload,
    CASE WHEN options ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(options -> 'tags')) ELSE '{}' END,
    coalesce((options ->> 'attempts')::smallint, contract.attempts),
    coalesce((options ->> 'timeoutMs')::integer, contract.timeout_ms),
    dedup,
    (options ->> 'parent')::uuid,
    due)
  ON CONFLICT (name, tenant, deduplication_key)
    WHERE deduplication_key IS NOT NULL AND state IN ('accepted', 'delayed') AND returns <= 0
    DO UPDATE SET payload = excluded.payload, tags = excluded.tags, priority = least(pending.priority, excluded.priority),
      returns = pending.returns - 1
  RETURNING pending.id INTO job;
  IF options ? 'idempotencyKey' THEN
    UPDATE treadle.idempotency_keys AS k SET job_id = job
      WHERE k.scope = 'sql:' || enqueue.name AND k.key = options ->> 'idempotencyKey' AND k.job_id <> job;
  END IF;
  IF due <= now() THEN
    PERFORM pg_notify('treadle_relay', '') FROM treadle.relay WHERE sleeping;
  END IF;
  RETURN job;
END
$$;
DROP INDEX treadle.finished_jobs_parent;
CREATE INDEX finished_jobs_parent ON treadle.finished_jobs (parent_id) WHERE parent_id IS NOT NULL;
ALTER TABLE treadle.finished_jobs DROP COLUMN children_total, DROP COLUMN children_open, DROP COLUMN children_failed,
  DROP COLUMN children_before, DROP COLUMN awaits, DROP COLUMN child_failure;
DROP INDEX treadle.jobs_parent;
CREATE INDEX jobs_parent ON treadle.jobs (parent_id) WHERE parent_id IS NOT NULL;
DROP INDEX treadle.jobs_waiting_children;
ALTER TABLE treadle.jobs DROP COLUMN children_total, DROP COLUMN children_open, DROP COLUMN children_failed,
  DROP COLUMN children_before, DROP COLUMN awaits, DROP COLUMN child_failure;
