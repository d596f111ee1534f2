-- Up Migration

-- The entry of its queue that carries this job, when it carries several; NULL when the job is an entry of its own.
ALTER TABLE treadle.jobs ADD COLUMN bundle text;

-- Down Migration
ALTER TABLE treadle.jobs DROP COLUMN bundle;
