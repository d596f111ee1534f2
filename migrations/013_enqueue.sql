-- Up Migration

ALTER TABLE treadle.contracts
  ADD COLUMN debounce_ms bigint CHECK (debounce_ms > 0),
  ADD COLUMN debounce_max_ms bigint,
  ADD COLUMN throttle_ms bigint CHECK (throttle_ms > 0),
  -- Payload paths that are encrypted at rest, and paths of payload and result that nobody is shown.
  ADD COLUMN encrypt text[] NOT NULL DEFAULT '{}',
  ADD COLUMN redact text[] NOT NULL DEFAULT '{}',
  ADD COLUMN redact_result text[] NOT NULL DEFAULT '{}';

-- Payloads too large to be carried about: the payload of their job is JSON's null. They go with their job.
CREATE TABLE treadle.payloads (
  job_id uuid PRIMARY KEY,
  payload jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- When the next run of a throttled key may begin. A row whose time has passed says nothing more.
CREATE TABLE treadle.throttles (
  name text NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  key text NOT NULL,
  next_at timestamptz NOT NULL,
  PRIMARY KEY (name, tenant, key)
) WITH (fillfactor = 80);

CREATE FUNCTION treadle.state_until(due_at timestamptz) RETURNS treadle.job_state
LANGUAGE sql VOLATILE
SET search_path = pg_catalog
AS $$
  SELECT (CASE WHEN due_at > clock_timestamp() THEN 'delayed' ELSE 'accepted' END)::treadle.job_state
$$;

-- When a debounced job that was accepted at `accepted_at` runs if nothing changes from now on.
CREATE FUNCTION treadle.debounced_due_at(accepted_at timestamptz, debounce_ms bigint, debounce_max_ms bigint) RETURNS timestamptz
LANGUAGE sql VOLATILE
SET search_path = pg_catalog
AS $$
  SELECT least(clock_timestamp() + make_interval(secs => debounce_ms / 1000.0), accepted_at + make_interval(secs => debounce_max_ms / 1000.0))
$$;

-- When the next run of a throttled key is due; it is taken for planned from then on. Callers of one key take turns until
-- their transactions end. Where a job of the key waits already, which will take the payload, nothing is planned.
CREATE FUNCTION treadle.throttled_due_at(job_name text, job_tenant text, job_key text, throttle_ms bigint) RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  due timestamptz;
BEGIN
  INSERT INTO treadle.throttles AS known (name, tenant, key, next_at) VALUES (job_name, job_tenant, job_key, '-infinity')
    ON CONFLICT (name, tenant, key) DO UPDATE SET next_at = known.next_at
    RETURNING next_at INTO due;
  due := greatest(clock_timestamp(), due);
  -- Locked, so that the relay does not take it before the payload has changed.
  PERFORM FROM treadle.jobs
    WHERE name = job_name AND tenant = job_tenant AND deduplication_key = job_key AND state IN ('accepted', 'delayed') AND returns <= 0
    FOR UPDATE;
  IF NOT FOUND THEN
    UPDATE treadle.throttles SET next_at = due + make_interval(secs => throttle_ms / 1000.0)
      WHERE name = job_name AND tenant = job_tenant AND key = job_key;
  END IF;
  RETURN due;
END
$$;

-- As before; debounces and throttles, keeps large payloads apart, and refuses what has to be encrypted.
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
  debounce bigint;
  debounce_max bigint;
  throttle bigint;
  payload_bytes integer := octet_length(payload::text);
  encrypted text;
  owner text;
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
    WHERE key NOT IN ('delayMs', 'runAt', 'priority', 'tenant', 'tags', 'attempts', 'timeoutMs', 'deduplicationKey', 'idempotencyKey', 'parent',
      'debounceMs', 'debounceMaxMs', 'throttleMs');
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION 'treadle.enqueue: unknown option %', unknown USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF (SELECT count(*) FROM unnest(ARRAY['delayMs', 'runAt', 'debounceMs', 'throttleMs']) AS given (option) WHERE options ? option) > 1 THEN
    RAISE EXCEPTION 'treadle.enqueue: give one of delayMs, runAt, debounceMs and throttleMs' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  SELECT string_agg(option, ', ') INTO unknown FROM unnest(ARRAY['delayMs', 'debounceMs', 'debounceMaxMs', 'throttleMs']) AS given (option)
    WHERE (options ->> option)::numeric NOT BETWEEN 0 AND 31622400000;
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION 'treadle.enqueue: % must be from 0 to 31622400000 (a year)', unknown USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF (options ->> 'priority')::numeric NOT BETWEEN 1 AND 9 THEN
    RAISE EXCEPTION 'treadle.enqueue: priority must be from 1 (first) to 9 (last)' USING ERRCODE = 'invalid_parameter_value';
  END IF;

  IF payload_bytes > 16777216 THEN
    RAISE EXCEPTION 'treadle.enqueue: the payload of % has % bytes as JSON, more than the 16777216 that are allowed', enqueue.name, payload_bytes
      USING ERRCODE = 'program_limit_exceeded';
  END IF;
  SELECT string_agg(path, ', ') INTO encrypted FROM unnest(contract.encrypt) AS path WHERE payload ? split_part(path, '.', 1);
  IF encrypted IS NOT NULL THEN
    RAISE EXCEPTION 'treadle.enqueue: % encrypts %, and the database has no key: enqueue it from TypeScript or over HTTP', enqueue.name, encrypted
      USING ERRCODE = 'feature_not_supported';
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
  owner := coalesce(options ->> 'tenant', payload ->> 'workspaceId', '');
  IF options ? 'debounceMs' THEN
    debounce := nullif((options ->> 'debounceMs')::bigint, 0);
  ELSIF options ? 'throttleMs' THEN
    throttle := nullif((options ->> 'throttleMs')::bigint, 0);
  ELSIF NOT options ?| ARRAY['delayMs', 'runAt', 'parent'] THEN
    debounce := contract.debounce_ms;
    throttle := contract.throttle_ms;
  END IF;
  debounce_max := coalesce((options ->> 'debounceMaxMs')::bigint, contract.debounce_max_ms);
  IF options ? 'debounceMaxMs' AND (debounce IS NULL OR debounce_max < debounce) THEN
    RAISE EXCEPTION 'treadle.enqueue: debounceMaxMs must be at least debounceMs' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF coalesce(debounce, throttle) IS NOT NULL AND dedup IS NULL THEN
    RAISE EXCEPTION 'treadle.enqueue: debounceMs and throttleMs need a deduplicationKey, or deduplicateBy in %, and no parent', enqueue.name
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  due := CASE
    WHEN throttle IS NOT NULL THEN treadle.throttled_due_at(contract.name, owner, dedup, throttle)
    WHEN debounce IS NOT NULL THEN treadle.debounced_due_at(clock_timestamp(), debounce, debounce_max)
    ELSE coalesce((options ->> 'runAt')::timestamptz, now() + make_interval(secs => coalesce((options ->> 'delayMs')::float8, 0) / 1000))
  END;
  INSERT INTO treadle.jobs AS pending
    (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, timeout_ms, deduplication_key, parent_id, due_at,
     group_key)
  VALUES (
    coalesce(job, treadle.uuid_v7()), contract.name, contract.queue,
    treadle.state_until(due),
    coalesce((options ->> 'priority')::smallint, contract.priority),
    owner,
    CASE WHEN payload_bytes > 65536 THEN 'null' ELSE payload END,
    CASE WHEN options ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(options -> 'tags')) ELSE '{}' END,
    coalesce((options ->> 'attempts')::smallint, contract.attempts),
    coalesce((options ->> 'timeoutMs')::integer, contract.timeout_ms),
    dedup,
    (options ->> 'parent')::uuid,
    due,
    CASE WHEN contract.group_by IS NULL THEN '' ELSE treadle.group_key(contract.name, contract.group_by, payload) END)
  ON CONFLICT (name, tenant, deduplication_key)
    WHERE deduplication_key IS NOT NULL AND state IN ('accepted', 'delayed') AND returns <= 0
    DO UPDATE SET payload = excluded.payload, tags = excluded.tags, group_key = excluded.group_key, priority = least(pending.priority, excluded.priority),
      returns = pending.returns - 1,
      (due_at, state) = (SELECT due_at, CASE WHEN debounce IS NULL THEN pending.state ELSE treadle.state_until(due_at) END
        FROM (SELECT CASE WHEN debounce IS NULL THEN pending.due_at
          ELSE treadle.debounced_due_at(pending.created_at, debounce, debounce_max) END AS due_at) AS planned)
  RETURNING pending.id, pending.due_at INTO job, due;
  IF payload_bytes > 65536 THEN
    INSERT INTO treadle.payloads AS kept (job_id, payload) VALUES (job, payload)
      ON CONFLICT (job_id) DO UPDATE SET payload = excluded.payload;
  END IF;
  IF options ? 'idempotencyKey' THEN
    UPDATE treadle.idempotency_keys AS k SET job_id = job
      WHERE k.scope = 'sql:' || enqueue.name AND k.key = options ->> 'idempotencyKey' AND k.job_id <> job;
  END IF;
  IF due <= clock_timestamp() THEN
    PERFORM pg_notify('treadle_relay', '') FROM treadle.relay WHERE sleeping;
  END IF;
  RETURN job;
END
$$;

-- Down Migration
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
    (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, timeout_ms, deduplication_key, parent_id, due_at,
     group_key)
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
    due,
    CASE WHEN contract.group_by IS NULL THEN '' ELSE treadle.group_key(contract.name, contract.group_by, payload) END)
  ON CONFLICT (name, tenant, deduplication_key)
    WHERE deduplication_key IS NOT NULL AND state IN ('accepted', 'delayed') AND returns <= 0
    DO UPDATE SET payload = excluded.payload, tags = excluded.tags, group_key = excluded.group_key, priority = least(pending.priority, excluded.priority),
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
DROP FUNCTION treadle.throttled_due_at(text, text, text, bigint), treadle.debounced_due_at(timestamptz, bigint, bigint),
  treadle.state_until(timestamptz);
UPDATE treadle.jobs AS job SET payload = kept.payload FROM treadle.payloads AS kept WHERE kept.job_id = job.id AND job.payload = 'null';
UPDATE treadle.finished_jobs AS job SET payload = kept.payload FROM treadle.payloads AS kept WHERE kept.job_id = job.id AND job.payload = 'null';
DROP TABLE treadle.throttles, treadle.payloads;
ALTER TABLE treadle.contracts DROP COLUMN debounce_ms, DROP COLUMN debounce_max_ms, DROP COLUMN throttle_ms, DROP COLUMN encrypt,
  DROP COLUMN redact, DROP COLUMN redact_result;
