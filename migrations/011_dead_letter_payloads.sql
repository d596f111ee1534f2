-- Up Migration

-- Dead letters are looked for by what is in their payloads. Without a list of pending entries, which would make the planner
-- and every look at many fresh ones slow.
CREATE INDEX finished_jobs_dead_payload ON treadle.finished_jobs_dead USING gin (payload jsonb_path_ops)
  WITH (fastupdate = off);

-- Down Migration
DROP INDEX treadle.finished_jobs_dead_payload;
