-- Up Migration

CREATE TYPE treadle.job_state AS ENUM
  ('accepted', 'waiting', 'delayed', 'active', 'waiting-children', 'completed', 'dead', 'cancelled');

-- What treadle.enqueue knows of each job contract; upserted by `treadle migrate up` and when a process starts.
CREATE TABLE treadle.contracts (
  name text PRIMARY KEY,
  queue text NOT NULL,
  attempts smallint NOT NULL CHECK (attempts BETWEEN 1 AND 1000),
  timeout_ms integer NOT NULL CHECK (timeout_ms > 0),
  priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 9),
  deduplicate_by text[] NOT NULL,
  durability text NOT NULL CHECK (durability IN ('ledger', 'queue')),
  payload_schema jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE treadle.queues (
  name text PRIMARY KEY,
  paused boolean NOT NULL DEFAULT false,
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Outbox and ledger: a row from the moment a job is accepted until it has finished. Written often, so it is kept small
-- and vacuumed early.
CREATE TABLE treadle.jobs (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  name text NOT NULL,
  queue text NOT NULL,
  state treadle.job_state NOT NULL DEFAULT 'accepted'
    CHECK (state IN ('accepted', 'waiting', 'delayed', 'active', 'waiting-children')),
  priority smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 9),
  -- Compared byte by byte, so that the relay can step from one tenant to the next in the index.
  tenant text COLLATE "C" NOT NULL DEFAULT '',
  payload jsonb NOT NULL,
  tags text[] NOT NULL DEFAULT '{}',
  attempts_allowed smallint NOT NULL CHECK (attempts_allowed BETWEEN 1 AND 1000),
  attempts_made smallint NOT NULL DEFAULT 0,
  -- How often the job came back to the ledger, or, below zero, how often its payload was replaced while it waited. Part
  -- of the job's id in the queue, so that a job is never taken for its earlier self.
  returns integer NOT NULL DEFAULT 0,
  timeout_ms integer NOT NULL CHECK (timeout_ms > 0),
  deduplication_key text,
  parent_id uuid,
  schedule_name text,
  due_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  relayed_at timestamptz,
  relay_epoch text,
  started_at timestamptz,
  worker text,
  progress jsonb,
  failures jsonb NOT NULL DEFAULT '[]',
  cancel_requested boolean NOT NULL DEFAULT false,
  -- Somebody waits for this job: its end is announced by NOTIFY.
  watched boolean NOT NULL DEFAULT false
) WITH (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX jobs_turns ON treadle.jobs (queue, tenant, priority, id) WHERE state = 'accepted';
CREATE INDEX jobs_due ON treadle.jobs (due_at) WHERE state = 'delayed';
CREATE INDEX jobs_relayed ON treadle.jobs (queue, tenant) WHERE state IN ('waiting', 'active');
CREATE UNIQUE INDEX jobs_deduplication ON treadle.jobs (name, tenant, deduplication_key)
  WHERE deduplication_key IS NOT NULL AND state IN ('accepted', 'delayed') AND returns <= 0;
CREATE INDEX jobs_parent ON treadle.jobs (parent_id) WHERE parent_id IS NOT NULL;

-- Finished jobs, by end state and day, so that retention drops partitions instead of deleting rows.
CREATE TABLE treadle.finished_jobs (
  id uuid NOT NULL,
  name text NOT NULL,
  queue text NOT NULL,
  state treadle.job_state NOT NULL CHECK (state IN ('completed', 'dead', 'cancelled')),
  priority smallint NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  payload jsonb NOT NULL,
  tags text[] NOT NULL,
  attempts_allowed smallint NOT NULL,
  attempts_made smallint NOT NULL,
  timeout_ms integer NOT NULL,
  deduplication_key text,
  parent_id uuid,
  schedule_name text,
  due_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL,
  started_at timestamptz,
  finished_at timestamptz NOT NULL DEFAULT now(),
  worker text,
  progress jsonb,
  failures jsonb NOT NULL,
  result jsonb,
  error jsonb
) PARTITION BY LIST (state);
CREATE TABLE treadle.finished_jobs_done PARTITION OF treadle.finished_jobs
  FOR VALUES IN ('completed', 'cancelled') PARTITION BY RANGE (finished_at);
CREATE TABLE treadle.finished_jobs_dead PARTITION OF treadle.finished_jobs
  FOR VALUES IN ('dead') PARTITION BY RANGE (finished_at);
CREATE TABLE treadle.finished_jobs_done_other PARTITION OF treadle.finished_jobs_done DEFAULT;
CREATE TABLE treadle.finished_jobs_dead_other PARTITION OF treadle.finished_jobs_dead DEFAULT;
CREATE INDEX finished_jobs_id ON treadle.finished_jobs (id);
CREATE INDEX finished_jobs_dead_queue ON treadle.finished_jobs_dead (queue, id);
CREATE INDEX finished_jobs_parent ON treadle.finished_jobs (parent_id) WHERE parent_id IS NOT NULL;

-- Makes the daily partitions (UTC) from today to `days` ahead. Rows of a day without one land in the default partition.
CREATE FUNCTION treadle.ensure_partitions(days integer DEFAULT 7) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  kind text;
  day date;
  child text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('treadle.ensure_partitions'));
  FOREACH kind IN ARRAY ARRAY['done', 'dead'] LOOP
    FOR offset_days IN 0..days LOOP
      day := (now() AT TIME ZONE 'UTC')::date + offset_days;
      child := format('finished_jobs_%s_%s', kind, to_char(day, 'YYYYMMDD'));
      CONTINUE WHEN to_regclass(format('treadle.%I', child)) IS NOT NULL;
      -- A partition can't be made for a range that the default one already holds rows of.
      CONTINUE WHEN (CASE kind
        WHEN 'done' THEN EXISTS (SELECT 1 FROM treadle.finished_jobs_done_other
          WHERE finished_at >= day::timestamp AT TIME ZONE 'UTC' AND finished_at < (day + 1)::timestamp AT TIME ZONE 'UTC')
        ELSE EXISTS (SELECT 1 FROM treadle.finished_jobs_dead_other
          WHERE finished_at >= day::timestamp AT TIME ZONE 'UTC' AND finished_at < (day + 1)::timestamp AT TIME ZONE 'UTC')
        END);
      EXECUTE format(
        'CREATE TABLE treadle.%I PARTITION OF treadle.%I FOR VALUES FROM (%L) TO (%L)',
        child, 'finished_jobs_' || kind,
        to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
    END LOOP;
  END LOOP;
END
$$;
SELECT treadle.ensure_partitions();

-- Every job, open or finished, in one shape.
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

CREATE TABLE treadle.idempotency_keys (
  scope text NOT NULL,
  key text NOT NULL,
  request_hash text NOT NULL,
  job_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_created ON treadle.idempotency_keys (created_at);

-- Keys of single effects that happened; see once().
CREATE TABLE treadle.once_keys (
  key text PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX once_keys_created ON treadle.once_keys (created_at);

-- One row: whether the relay sleeps. Enqueueing wakes it by NOTIFY only then.
CREATE TABLE treadle.relay (
  id boolean PRIMARY KEY DEFAULT true CHECK (id),
  sleeping boolean NOT NULL DEFAULT false,
  holder text,
  beat_at timestamptz
) WITH (fillfactor = 10);
INSERT INTO treadle.relay DEFAULT VALUES;

-- Running processes, each beating every few seconds.
CREATE TABLE treadle.processes (
  id text PRIMARY KEY,
  roles text[] NOT NULL,
  host text NOT NULL,
  pid integer NOT NULL,
  queues jsonb NOT NULL DEFAULT '{}',
  started_at timestamptz NOT NULL DEFAULT now(),
  beat_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE treadle.schedules (
  name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
  job_name text NOT NULL,
  payload jsonb NOT NULL DEFAULT '{}',
  options jsonb NOT NULL DEFAULT '{}',
  cron text NOT NULL,
  time_zone text NOT NULL DEFAULT 'UTC',
  misfire text NOT NULL DEFAULT 'once' CHECK (misfire IN ('skip', 'once', 'all')),
  paused boolean NOT NULL DEFAULT false,
  -- Defined by Treadle or an app's code: kept in step with it when a scheduler starts.
  built_in boolean NOT NULL DEFAULT false,
  last_fire_at timestamptz,
  -- Fire times up to here were dealt with, or lie before the schedule was made, retimed or resumed.
  settled_until timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- One row a fire: the primary key is what makes each fire happen once, however many schedulers run.
CREATE TABLE treadle.schedule_fires (
  schedule_name text NOT NULL REFERENCES treadle.schedules (name) ON DELETE CASCADE,
  fire_at timestamptz NOT NULL,
  job_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (schedule_name, fire_at)
);

-- The deduplication key of a payload: the texts at the given dotted paths, joined by a unit separator; NULL for no paths.
CREATE FUNCTION treadle.deduplication_key(paths text[], payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog
AS $$
  SELECT string_agg(coalesce(payload #>> string_to_array(path, '.'), ''), E'\x1f' ORDER BY position)
  FROM unnest(paths) WITH ORDINALITY AS given (path, position)
$$;

-- Accepts a job in the caller's transaction: it exists if and only if that transaction commits. Options as in the HTTP
-- API: delayMs or runAt, priority, tenant, tags, attempts, timeoutMs, deduplicationKey, idempotencyKey, parent.
-- Answers the job's id; for a duplicate the id of the job that is already pending and now carries the new payload.
CREATE FUNCTION treadle.enqueue(name text, payload jsonb, options jsonb DEFAULT '{}') RETURNS uuid
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

-- Down Migration
DROP FUNCTION treadle.enqueue(text, jsonb, jsonb);
DROP FUNCTION treadle.deduplication_key(text[], jsonb);
DROP TABLE treadle.schedule_fires, treadle.schedules, treadle.processes, treadle.relay, treadle.once_keys, treadle.idempotency_keys;
DROP VIEW treadle.all_jobs;
DROP FUNCTION treadle.ensure_partitions(integer);
DROP TABLE treadle.finished_jobs, treadle.jobs, treadle.queues, treadle.contracts;
DROP TYPE treadle.job_state;
