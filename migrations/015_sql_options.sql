-- Up Migration

-- What is wrong with an option of treadle.enqueue, NULL if nothing is; the same as elsewhere (src/queues/enqueue/enqueue-options.ts).
CREATE FUNCTION treadle.fault_of_option(option text, value jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog
AS $$
DECLARE
  kind text := jsonb_typeof(value);
  low numeric := CASE option WHEN 'priority' THEN 1 WHEN 'attempts' THEN 1 WHEN 'timeoutMs' THEN 1 ELSE 0 END;
  high numeric := CASE option WHEN 'priority' THEN 9 WHEN 'attempts' THEN 1000 WHEN 'timeoutMs' THEN 86400000 ELSE 31622400000 END;
  content text := value #>> '{}';
BEGIN
  CASE
    WHEN option = 'tags' THEN
      IF kind <> 'array' THEN
        RETURN 'must be a list';
      END IF;
      IF jsonb_array_length(value) > 50 OR EXISTS (SELECT FROM jsonb_array_elements(value) AS tag
        WHERE jsonb_typeof(tag) <> 'string' OR length(tag #>> '{}') NOT BETWEEN 1 AND 100) THEN
        RETURN 'must be at most 50 texts of 1 to 100 characters';
      END IF;
    WHEN option IN ('tenant', 'deduplicationKey', 'idempotencyKey') THEN
      IF kind <> 'string' THEN
        RETURN 'must be text';
      END IF;
      IF option = 'tenant' AND length(content) > 200 THEN
        RETURN 'must be at most 200 characters';
      END IF;
      IF option <> 'tenant' AND length(content) NOT BETWEEN 1 AND 500 THEN
        RETURN 'must be from 1 to 500 characters';
      END IF;
    WHEN option = 'parent' THEN
      IF content !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        RETURN 'must be the id of a job';
      END IF;
    WHEN option = 'runAt' THEN
      BEGIN
        -- Times that a Date of JavaScript cannot hold would keep lists of jobs from being shown.
        IF kind = 'string' AND content::timestamptz >= '0001-01-01' AND content::timestamptz < '10000-01-01' THEN
          RETURN NULL;
        END IF;
      EXCEPTION WHEN data_exception THEN
        NULL;
      END;
      RETURN 'must be a time, such as 2026-01-31T09:00:00Z';
    ELSE
      IF kind <> 'number' THEN
        RETURN 'must be a number';
      END IF;
      IF content::numeric NOT BETWEEN low AND high OR content::numeric <> trunc(content::numeric) THEN
        RETURN format('must be a whole number from %s to %s', low, high);
      END IF;
  END CASE;
  RETURN NULL;
END
$$;

-- As before; an option that does not fit is refused by its name, and null is as if it were not given.
CREATE OR REPLACE FUNCTION treadle.enqueue(name text, payload jsonb, options jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
#variable_conflict use_column
DECLARE
  contract treadle.contracts;
  unknown text;
  faults text;
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
  options := jsonb_strip_nulls(coalesce(options, '{}'));
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
  SELECT string_agg(key || ' ' || fault, '; ') INTO faults FROM jsonb_each(options), treadle.fault_of_option(key, value) AS fault;
  IF faults IS NOT NULL THEN
    RAISE EXCEPTION 'treadle.enqueue: %', faults USING ERRCODE = 'invalid_parameter_value';
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
  IF length(owner) > 200 THEN
    RAISE EXCEPTION 'treadle.enqueue: payload.workspaceId is the tenant of the job, and has more than 200 characters'
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
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
DROP FUNCTION treadle.fault_of_option(text, jsonb);
