-- Up Migration

-- A schedule fires by exactly one of cron, every_ms and at.
ALTER TABLE treadle.schedules
  ALTER COLUMN cron DROP NOT NULL,
  ADD COLUMN every_ms bigint CHECK (every_ms BETWEEN 1000 AND 31622400000),
  -- Where an interval counts from: it fires then, and every_ms after it, and so on.
  ADD COLUMN anchor_at timestamptz DEFAULT now(),
  ADD COLUMN at timestamptz CHECK (isfinite(at)),
  ADD CONSTRAINT schedules_fire_by_one_of CHECK (num_nonnulls(cron, every_ms, at) = 1),
  ADD CONSTRAINT schedules_interval_has_anchor CHECK (every_ms IS NULL OR (anchor_at IS NOT NULL AND isfinite(anchor_at)));
UPDATE treadle.schedules SET anchor_at = NULL;

-- Fire times that got a job, those that the misfire policy dropped (without a job), and runs that somebody asked for.
ALTER TABLE treadle.schedule_fires
  ALTER COLUMN job_id DROP NOT NULL,
  ADD COLUMN by_hand boolean NOT NULL DEFAULT false,
  DROP CONSTRAINT schedule_fires_pkey,
  ADD PRIMARY KEY (schedule_name, fire_at, by_hand);

-- Down Migration
DELETE FROM treadle.schedule_fires WHERE job_id IS NULL OR by_hand;
ALTER TABLE treadle.schedule_fires
  DROP CONSTRAINT schedule_fires_pkey,
  DROP COLUMN by_hand,
  ADD PRIMARY KEY (schedule_name, fire_at),
  ALTER COLUMN job_id SET NOT NULL;
DELETE FROM treadle.schedules WHERE cron IS NULL;
ALTER TABLE treadle.schedules
  DROP CONSTRAINT schedules_interval_has_anchor,
  DROP CONSTRAINT schedules_fire_by_one_of,
  DROP COLUMN at,
  DROP COLUMN anchor_at,
  DROP COLUMN every_ms,
  ALTER COLUMN cron SET NOT NULL;
