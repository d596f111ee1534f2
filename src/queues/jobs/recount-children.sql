-- After the jobs $1 were put back to work: counts the open children of those that have any, which wait for them again if
-- they did, and of the open parents of the others.
WITH back AS (
  SELECT id, parent_id, children_total FROM treadle.jobs WHERE id = ANY ($1)
), again AS (
  SELECT parent_id AS id, count(*)::integer AS jobs FROM back WHERE parent_id IS NOT NULL GROUP BY parent_id
), parents AS (
  SELECT id FROM treadle.jobs
  WHERE id IN (SELECT id FROM back WHERE children_total IS NOT NULL UNION SELECT id FROM again)
  ORDER BY id FOR NO KEY UPDATE
)
UPDATE treadle.jobs AS parent SET
  children_open = open.jobs,
  children_failed = greatest(0, parent.children_failed - coalesce((SELECT jobs FROM again WHERE again.id = parent.id), 0)),
  state = CASE WHEN parent.state = 'accepted' AND parent.awaits > 0 AND open.jobs > 0 AND parent.id IN (SELECT id FROM back)
    THEN 'waiting-children' ELSE parent.state END
FROM parents, LATERAL (SELECT count(*)::integer AS jobs FROM treadle.jobs AS child WHERE child.parent_id = parents.id) AS open
WHERE parent.id = parents.id
