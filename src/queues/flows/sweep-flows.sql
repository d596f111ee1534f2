-- Makes jobs ready that wait for children and have none that is open: the last one ended in the moment in which its parent
-- was put back to work. Answers how many, and the ended jobs whose children were not all cancelled yet (`children_open`).
-- Children that were redriven since, alone, are left to run.
WITH freed AS (
  UPDATE treadle.jobs AS parent SET state = 'accepted', children_open = 0
  WHERE state = 'waiting-children' AND NOT EXISTS (SELECT FROM treadle.jobs AS child WHERE child.parent_id = parent.id)
  RETURNING id
)
SELECT (SELECT count(*)::integer FROM freed) AS freed,
  (SELECT count(pg_notify('treadle_relay', '')) FROM treadle.relay WHERE sleeping AND EXISTS (SELECT FROM freed)) AS woken,
  ARRAY(
    SELECT parent_id FROM (SELECT DISTINCT parent_id FROM treadle.jobs WHERE parent_id IS NOT NULL) AS open
    WHERE EXISTS (SELECT FROM treadle.finished_jobs AS parent
      WHERE parent.id = open.parent_id AND parent.children_open > 0
        AND (parent.state = 'cancelled' OR parent.error ->> 'code' = 'CHILD_FAILED'))) AS ended
