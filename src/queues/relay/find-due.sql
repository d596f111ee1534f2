-- Makes delayed jobs whose time has come ready, and answers which of the queues $1 have ready jobs, which queues are paused,
-- and in how many milliseconds the next delayed job is due.
WITH promoted AS (
  UPDATE treadle.jobs SET state = 'accepted'
  WHERE id = ANY (ARRAY(
    SELECT id FROM treadle.jobs WHERE state = 'delayed' AND due_at <= now() ORDER BY due_at LIMIT 1000 FOR UPDATE SKIP LOCKED))
  RETURNING queue
)
SELECT
  ARRAY(
    SELECT asked FROM unnest($1::text[]) AS asked
    WHERE (SELECT true FROM treadle.jobs WHERE state = 'accepted' AND queue = asked LIMIT 1)
    UNION SELECT queue FROM promoted) AS queues,
  ARRAY(SELECT name FROM treadle.queues WHERE paused) AS paused,
  (SELECT extract(epoch FROM min(due_at) - clock_timestamp()) * 1000 FROM treadle.jobs WHERE state = 'delayed' AND due_at > now())::float8 AS next_due_in_ms
