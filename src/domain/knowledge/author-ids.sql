-- The ids of people in a workspace, by their places in what is given; those whom it does not know are made. $1 workspace,
-- $2 names, $3 emails (NULL for somebody known by name alone). A person whom another transaction makes meanwhile has no id.
WITH given AS MATERIALIZED (
  SELECT place, name, email, coalesce('@' || lower(email), lower(name)) AS key
  FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS one (name, email, place)
), found AS MATERIALIZED (
  -- One look into an index for each, whatever the statistics of tables that are just being filled say. An account comes
  -- before somebody known here only.
  SELECT g.*, CASE WHEN g.email IS NULL
    THEN (SELECT u.id FROM treadle.users AS u
      WHERE u.email IS NULL AND u.workspace_id = $1 AND lower(u.name) = lower(g.name))
    ELSE (SELECT u.id FROM treadle.users AS u
      WHERE lower(u.email) = lower(g.email)
        AND (SELECT true FROM treadle.workspace_members AS m WHERE m.workspace_id = $1 AND m.user_id = u.id)
      ORDER BY u.workspace_id IS NOT NULL, u.id LIMIT 1) END AS id
  FROM given AS g
), made AS (
  INSERT INTO treadle.users (workspace_id, email, name)
  SELECT $1, f.email, f.name
  FROM (SELECT DISTINCT ON (key) key, email, name FROM found WHERE id IS NULL ORDER BY key, place) AS f
  ORDER BY f.key
  ON CONFLICT DO NOTHING
  RETURNING id, coalesce('@' || lower(email), lower(name)) AS key
)
SELECT coalesce(f.id, m.id) AS id FROM found AS f LEFT JOIN made AS m USING (key) ORDER BY f.place
