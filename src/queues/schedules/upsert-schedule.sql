-- Makes a schedule, or makes it what is given; touches nothing when it is that already. What is paused stays so for a
-- null $11. An interval keeps counting from where it did unless it gets another length or anchor. When the times change,
-- or the schedule is resumed, fire times before now ($13) are settled.
-- $1 name, $2 job, $3 payload, $4 options, $5 cron, $6 time zone, $7 every_ms, $8 anchor_at or null, $9 at, $10 misfire,
-- $11 paused or null, $12 built_in, $13 now.
INSERT INTO treadle.schedules AS known
  (name, job_name, payload, options, cron, time_zone, every_ms, anchor_at, at, misfire, paused, built_in, settled_until)
SELECT $1, $2, $3::jsonb, $4::jsonb, $5, $6, $7::bigint,
  CASE WHEN $7::bigint IS NOT NULL THEN coalesce(
    $8::timestamptz, (SELECT s.anchor_at FROM treadle.schedules AS s WHERE s.name = $1 AND s.every_ms = $7::bigint), $13::timestamptz) END,
  $9::timestamptz, $10, coalesce($11::boolean, false), $12::boolean, $13::timestamptz
ON CONFLICT (name) DO UPDATE SET
  job_name = excluded.job_name, payload = excluded.payload, options = excluded.options, cron = excluded.cron,
  time_zone = excluded.time_zone, every_ms = excluded.every_ms, anchor_at = excluded.anchor_at, at = excluded.at,
  misfire = excluded.misfire, paused = coalesce($11, known.paused), built_in = excluded.built_in,
  settled_until = CASE
    WHEN (known.cron, known.time_zone, known.every_ms, known.anchor_at, known.at)
      IS DISTINCT FROM (excluded.cron, excluded.time_zone, excluded.every_ms, excluded.anchor_at, excluded.at)
      OR (known.paused AND NOT $11)
    THEN excluded.settled_until ELSE known.settled_until END,
  updated_at = now()
WHERE (known.job_name, known.payload, known.options, known.cron, known.time_zone, known.every_ms, known.anchor_at, known.at,
    known.misfire, known.paused, known.built_in)
  IS DISTINCT FROM (excluded.job_name, excluded.payload, excluded.options, excluded.cron, excluded.time_zone, excluded.every_ms,
    excluded.anchor_at, excluded.at, excluded.misfire, coalesce($11, known.paused), excluded.built_in)
