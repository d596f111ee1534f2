-- Writes documents of one workspace by their source ids: new ones are inserted, those that differ updated, and the others
-- left alone, so that they get no version, no event and no job. $1 workspace; :given stands for where the documents are, each
-- source id once: the rows of a JSON array, or a table filled by COPY. Authors and tags exist. A document that another
-- transaction writes or deletes meanwhile counts in no column.
-- First all that is new, then all that differs, each in the order of its source ids: two writers wait for each other, and
-- never in a circle.
WITH given AS MATERIALIZED (
  -- Below, the workspace is a column and not $1: of a workspace newer than the statistics Postgres would expect no rows at
  -- all, and take any index that begins with it.
  SELECT $1::uuid AS workspace_id, d.* FROM :given
), wanted AS MATERIALIZED (
  SELECT g.source_id, t.id AS tag_id
  FROM given AS g CROSS JOIN LATERAL unnest(g.tags) AS named (name)
  CROSS JOIN LATERAL (SELECT id FROM treadle.tags WHERE workspace_id = g.workspace_id AND name = named.name LIMIT 1) AS t
), known AS MATERIALIZED (
  -- One look into the unique index for each document and tag, whatever the statistics of tables that are being filled say.
  SELECT g.*, k.id AS known_id,
    (k.title, k.content, k.content_type, k.excerpt, k.metadata, k.status)
      IS DISTINCT FROM (g.title, g.content, g.content_type, g.excerpt, g.metadata, coalesce(g.status, k.status))
    OR (g.author_id IS NOT NULL AND k.author_id IS DISTINCT FROM g.author_id)
    OR (g.collection_id IS NOT NULL AND k.collection_id IS DISTINCT FROM g.collection_id) AS differs,
    ARRAY(SELECT kt.tag_id FROM treadle.knowledge_tags AS kt WHERE kt.workspace_id = g.workspace_id AND kt.knowledge_id = k.id
      ORDER BY kt.tag_id)
      <> coalesce(w.tag_ids, '{}') AS tags_differ
  FROM given AS g
  CROSS JOIN LATERAL (
    SELECT * FROM treadle.knowledge WHERE workspace_id = g.workspace_id AND source_id = g.source_id LIMIT 1) AS k
  LEFT JOIN (SELECT source_id, array_agg(DISTINCT tag_id ORDER BY tag_id) AS tag_ids FROM wanted GROUP BY source_id) AS w
    ON w.source_id = g.source_id
), inserted AS (
  INSERT INTO treadle.knowledge
    (workspace_id, source_id, title, content, content_type, excerpt, status, author_id, collection_id, metadata)
  SELECT $1, g.source_id, g.title, g.content, g.content_type, g.excerpt, coalesce(g.status, 'published'), g.author_id,
    g.collection_id, g.metadata
  FROM given AS g
  WHERE NOT EXISTS (SELECT FROM known WHERE known.source_id = g.source_id)
  ORDER BY g.source_id
  ON CONFLICT (workspace_id, source_id) WHERE source_id IS NOT NULL DO NOTHING
  RETURNING id, source_id
), locked AS MATERIALIZED (
  SELECT k.id
  FROM known AS g JOIN treadle.knowledge AS k ON k.id = g.known_id
  WHERE g.differs OR g.tags_differ
  ORDER BY k.source_id FOR NO KEY UPDATE OF k
), updated AS (
  -- An editor's delta belongs to the content it was made for.
  UPDATE treadle.knowledge AS k SET
    title = g.title, content = g.content, content_type = g.content_type, excerpt = g.excerpt, metadata = g.metadata,
    content_delta = CASE WHEN k.content = g.content THEN k.content_delta END,
    status = coalesce(g.status, k.status),
    author_id = coalesce(g.author_id, k.author_id),
    collection_id = coalesce(g.collection_id, k.collection_id),
    updated_at = CASE WHEN g.tags_differ THEN clock_timestamp() ELSE k.updated_at END
  FROM locked JOIN known AS g ON g.known_id = locked.id
  WHERE k.id = locked.id
  RETURNING k.workspace_id, k.id, k.source_id, g.tags_differ
), unlinked AS (
  DELETE FROM treadle.knowledge_tags AS kt USING updated AS u
  WHERE kt.workspace_id = u.workspace_id AND kt.knowledge_id = u.id AND u.tags_differ
    AND NOT EXISTS (SELECT FROM wanted AS w WHERE w.source_id = u.source_id AND w.tag_id = kt.tag_id)
), linked AS (
  INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
  SELECT $1, written.id, w.tag_id
  FROM (SELECT id, source_id FROM inserted UNION ALL SELECT id, source_id FROM updated WHERE tags_differ) AS written
  JOIN wanted AS w ON w.source_id = written.source_id
  ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM inserted)::integer AS inserted, (SELECT count(*) FROM updated)::integer AS updated,
  (SELECT count(*) FROM known WHERE NOT differs AND NOT tags_differ)::integer AS unchanged
