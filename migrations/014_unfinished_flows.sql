-- Up Migration

-- How many children the job's handler has added in its present phase: so many the next attempt leaves out. NULL: none.
ALTER TABLE treadle.jobs ADD COLUMN children_spawned integer;
ALTER TABLE treadle.finished_jobs ADD COLUMN children_spawned integer;
-- Jobs that are to be cancelled; few at any time.
CREATE INDEX jobs_cancel_requested ON treadle.jobs (id) WHERE cancel_requested;

-- Down Migration
DROP INDEX treadle.jobs_cancel_requested;
ALTER TABLE treadle.finished_jobs DROP COLUMN children_spawned;
ALTER TABLE treadle.jobs DROP COLUMN children_spawned;
