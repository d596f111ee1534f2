-- Up Migration

-- Sagas: steps that belong together although no one transaction can hold them. This is their journal: a step is written down
-- before it begins and when it has ended, so that whoever takes over after a crash knows where the saga stood.
CREATE TABLE treadle.sagas (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  workspace_id uuid REFERENCES treadle.workspaces (id) ON DELETE CASCADE,
  input jsonb NOT NULL CHECK (jsonb_typeof(input) = 'object'),
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'compensating', 'compensated', 'failed')),
  -- The step that was begun or compensated last; NULL before the first.
  current_step text,
  -- Why it is undone, or, of a failed one, why it could not be.
  error jsonb,
  -- The job that runs it.
  job_id uuid NOT NULL,
  -- Grows whenever an attempt of the job takes the saga: only the one that took it last may write.
  fence integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  CONSTRAINT sagas_ended_have_their_time CHECK ((state IN ('completed', 'compensated', 'failed')) = (finished_at IS NOT NULL)),
  CONSTRAINT sagas_undone_have_a_reason CHECK ((state IN ('compensating', 'compensated', 'failed')) = (error IS NOT NULL))
);
CREATE INDEX sagas_state ON treadle.sagas (state, id);
CREATE INDEX sagas_name ON treadle.sagas (name, id);
CREATE INDEX sagas_workspace ON treadle.sagas (workspace_id) WHERE workspace_id IS NOT NULL;
CREATE INDEX sagas_finished ON treadle.sagas (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE treadle.saga_steps (
  saga_id uuid NOT NULL REFERENCES treadle.sagas (id) ON DELETE CASCADE,
  position smallint NOT NULL CHECK (position >= 1),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  -- What it does and this row are one transaction: what failed has not been done.
  transactional boolean NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN
    ('pending', 'running', 'done', 'failed', 'compensating', 'compensated', 'compensation-failed')),
  -- Those that ended by themselves: an attempt that a crash or a shutdown ended is not counted.
  attempts smallint NOT NULL DEFAULT 0,
  result jsonb,
  -- Of the last attempt; NULL when that one succeeded.
  error jsonb,
  compensation_attempts smallint NOT NULL DEFAULT 0,
  compensation_error jsonb,
  started_at timestamptz,
  finished_at timestamptz,
  compensated_at timestamptz,
  PRIMARY KEY (saga_id, position),
  CONSTRAINT saga_steps_name UNIQUE (saga_id, name),
  CONSTRAINT saga_steps_begun_have_their_time CHECK ((state = 'pending') = (started_at IS NULL)),
  CONSTRAINT saga_steps_done_have_no_error CHECK (state <> 'done' OR (error IS NULL AND finished_at IS NOT NULL)),
  CONSTRAINT saga_steps_failed_have_an_error CHECK (state <> 'failed' OR (error IS NOT NULL AND finished_at IS NOT NULL)),
  CONSTRAINT saga_steps_undone_have_their_time CHECK ((state = 'compensated') = (compensated_at IS NOT NULL)),
  CONSTRAINT saga_steps_stuck_have_an_error CHECK (state <> 'compensation-failed' OR compensation_error IS NOT NULL)
);

-- Down Migration
DROP TABLE treadle.saga_steps, treadle.sagas;
