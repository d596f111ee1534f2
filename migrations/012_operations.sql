-- Up Migration

-- The trace that a job belongs to, as W3C Trace Context writes it; NULL unless it was enqueued within one.
ALTER TABLE treadle.jobs ADD COLUMN traceparent text;
ALTER TABLE treadle.finished_jobs ADD COLUMN traceparent text;

-- Jobs lie in the order in which they finished, so that this small index finds those of the last minutes.
CREATE INDEX finished_jobs_finished ON treadle.finished_jobs USING brin (finished_at) WITH (pages_per_range = 32, autosummarize = on);

-- Down Migration
DROP INDEX treadle.finished_jobs_finished;
ALTER TABLE treadle.finished_jobs DROP COLUMN traceparent;
ALTER TABLE treadle.jobs DROP COLUMN traceparent;
