-- Makes delayed jobs whose time has come ready, and answers the queues that have ready jobs, and when the next delayed job
-- is due.
WITH RECURSIVE promoted AS (
  UPDATE treadle.jobs SET state = 'accepted'
  WHERE id = ANY (ARRAY(
    SELECT id FROM treadle.jobs WHERE state = 'delayed' AND due_at <= now() ORDER BY due_at LIMIT 1000 FOR UPDATE SKIP LOCKED))
  RETURNING queue
), ready AS (
  (SELECT queue FROM treadle.jobs WHERE state = 'accepted' ORDER BY queue LIMIT 1)
  UNION ALL
  SELECT (SELECT next.queue FROM treadle.jobs AS next WHERE next.state = 'accepted' AND next.queue > ready.queue ORDER BY next.queue LIMIT 1)
  FROM ready WHERE ready.queue IS NOT NULL
)
SELECT
  ARRAY(SELECT queue FROM ready WHERE queue IS NOT NULL UNION SELECT queue FROM promoted) AS queues,
  ARRAY(SELECT name FROM treadle.queues WHERE paused) AS paused,
  (SELECT min(due_at) FROM treadle.jobs WHERE state = 'delayed' AND due_at > now()) AS next_due_at
