-- Up Migration

-- Jobs of one group of a tenant (a contract's `groupBy`) take turns with other groups, may be limited together, and may be
-- taken together. '' for none, else the job's name, a unit separator and the values.
ALTER TABLE treadle.jobs ADD COLUMN group_key text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE treadle.finished_jobs ADD COLUMN group_key text COLLATE "C" NOT NULL DEFAULT '';
DROP INDEX treadle.jobs_turns;
CREATE INDEX jobs_turns ON treadle.jobs (queue, tenant, group_key, priority, id) WHERE state = 'accepted';
DROP INDEX treadle.jobs_relayed;
CREATE INDEX jobs_relayed ON treadle.jobs (queue, tenant, group_key) WHERE state IN ('waiting', 'active');

ALTER TABLE treadle.contracts
  -- NULL: its jobs belong to no group; empty: to one of each tenant.
  ADD COLUMN group_by text[],
  ADD COLUMN group_concurrency integer CHECK (group_concurrency > 0),
  ADD COLUMN group_rate_max integer CHECK (group_rate_max > 0),
  ADD COLUMN group_rate_per_ms integer CHECK (group_rate_per_ms > 0),
  ADD COLUMN batch_size smallint NOT NULL DEFAULT 1 CHECK (batch_size BETWEEN 1 AND 1000);

-- Limits set while Treadle runs, each instead of what the code says. Of a whole queue (scope `queue`), of each of its tenants
-- (`tenants`), or of one (`tenant`, named by `subject`). NULL: none.
CREATE TABLE treadle.limits (
  queue text NOT NULL,
  scope text NOT NULL CHECK (scope IN ('queue', 'tenants', 'tenant')),
  subject text COLLATE "C" NOT NULL DEFAULT '' CHECK (scope = 'tenant' OR subject = ''),
  weight real CHECK (weight > 0 AND weight <= 1000),
  concurrency integer CHECK (concurrency > 0),
  rate_max integer CHECK (rate_max > 0),
  rate_per_ms integer CHECK (rate_per_ms > 0),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (queue, scope, subject),
  CHECK ((rate_max IS NULL) = (rate_per_ms IS NULL)),
  CHECK (scope <> 'queue' OR weight IS NULL)
);

-- Counts the changes of limits: the relay picks with the limits it knows only while there are no newer ones.
ALTER TABLE treadle.relay ADD COLUMN limits_version integer NOT NULL DEFAULT 0;

-- How much of its rate a queue, tenant or group has left (a token bucket). Written by the leader of the relay only.
CREATE TABLE treadle.rate_buckets (
  queue text NOT NULL,
  scope text NOT NULL CHECK (scope IN ('queue', 'tenant', 'group')),
  tenant text COLLATE "C" NOT NULL,
  group_key text COLLATE "C" NOT NULL,
  tokens double precision NOT NULL,
  refilled_at timestamptz NOT NULL,
  PRIMARY KEY (queue, scope, tenant, group_key)
) WITH (fillfactor = 50);

-- So many jobs of a rate may begin at once: those of a second, at least one.
CREATE FUNCTION treadle.rate_burst(max integer, per_ms integer) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog
AS $$ SELECT greatest(1, least(max, ceil(max * 1000.0 / per_ms)))::float8 $$;

-- The group of a payload: its contract's name and the texts at the given dotted paths; a long one by its hash.
CREATE FUNCTION treadle.group_key(name text, paths text[], payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog
AS $$
  SELECT name || E'\x1f' || CASE WHEN length(key) > 200 THEN md5(key) ELSE key END
  FROM (SELECT coalesce(treadle.deduplication_key(paths, payload), '') AS key) AS made
$$;

-- As before; the job is put into its group.
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
DROP FUNCTION treadle.group_key(text, text[], jsonb);
DROP FUNCTION treadle.rate_burst(integer, integer);
DROP TABLE treadle.rate_buckets, treadle.limits;
ALTER TABLE treadle.relay DROP COLUMN limits_version;
ALTER TABLE treadle.contracts DROP COLUMN group_by, DROP COLUMN group_concurrency, DROP COLUMN group_rate_max,
  DROP COLUMN group_rate_per_ms, DROP COLUMN batch_size;
DROP INDEX treadle.jobs_relayed;
CREATE INDEX jobs_relayed ON treadle.jobs (queue, tenant) WHERE state IN ('waiting', 'active');
DROP INDEX treadle.jobs_turns;
CREATE INDEX jobs_turns ON treadle.jobs (queue, tenant, priority, id) WHERE state = 'accepted';
ALTER TABLE treadle.finished_jobs DROP COLUMN group_key;
ALTER TABLE treadle.jobs DROP COLUMN group_key;
