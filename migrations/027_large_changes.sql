-- Up Migration

-- What large statements (a COPY of the tags of 60,000 documents, an UPDATE of as many texts) took a time that grew with the
-- square of their size for: a plan made while the tables were small joined each row with each other.

-- From the document to its tags, whatever the statistics say: as a join it could begin with all tags of the workspace.
CREATE OR REPLACE FUNCTION treadle.tags_of(workspace uuid, document uuid) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
  SELECT coalesce(array_agg(tag.name ORDER BY tag.name), '{}')
  FROM (
    SELECT (SELECT t.name FROM treadle.tags AS t WHERE t.workspace_id = kt.workspace_id AND t.id = kt.tag_id) AS name
    FROM treadle.knowledge_tags AS kt WHERE kt.workspace_id = workspace AND kt.knowledge_id = document
  ) AS tag
  -- A tag may have gone while its links have not yet.
  WHERE tag.name IS NOT NULL
$$;

CREATE OR REPLACE FUNCTION treadle.index_document_tags(ids uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog
SET enable_nestloop = off
SET jit = off
AS $$
BEGIN
  PERFORM 1 FROM treadle.search_documents AS s WHERE s.document_id = ANY (ids) ORDER BY s.document_id FOR UPDATE;
  WITH current AS MATERIALIZED (
    SELECT s.document_id, treadle.tags_of(s.workspace_id, s.document_id) AS tags
    FROM treadle.search_documents AS s WHERE s.document_id = ANY (ids)
  )
  UPDATE treadle.search_documents AS s SET
    tags = c.tags,
    names = ' ' || concat_ws(' ', s.title_key, treadle.search_key(array_to_string(c.tags, ' '))),
    vector = ts_filter(s.vector, '{a,b,c}') || treadle.tags_vector(c.tags)
  FROM current AS c
  -- Named twice, so that no more than these rows are read.
  WHERE s.document_id = ANY (ids) AND s.document_id = c.document_id AND s.tags <> c.tags;
END
$$;

CREATE OR REPLACE FUNCTION treadle.search_knowledge_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
SET enable_nestloop = off
SET jit = off
AS $$
DECLARE
  rewritten uuid[];
BEGIN
  SELECT array_agg(n.id) INTO rewritten FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
    WHERE n.title <> o.title OR n.excerpt <> o.excerpt OR n.content <> o.content
      OR NOT EXISTS (SELECT 1 FROM treadle.search_documents AS s WHERE s.document_id = n.id);
  UPDATE treadle.search_documents AS s SET status = n.status, author_id = n.author_id, collection_id = n.collection_id,
      created_at = n.created_at, updated_at = n.updated_at
    FROM new_rows AS n
    WHERE s.document_id = n.id AND NOT EXISTS (SELECT 1 FROM unnest(rewritten) AS r (id) WHERE r.id = n.id)
      AND (s.status, s.author_id, s.collection_id, s.created_at, s.updated_at)
        IS DISTINCT FROM (n.status, n.author_id, n.collection_id, n.created_at, n.updated_at);
  PERFORM treadle.index_for_writer(rewritten, false);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  PERFORM treadle.index_for_writer(ARRAY(SELECT id FROM new_rows), false);
  RETURN NULL;
END
$$;

-- Down Migration
CREATE OR REPLACE FUNCTION treadle.tags_of(workspace uuid, document uuid) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
  SELECT coalesce(array_agg(t.name ORDER BY t.name), '{}')
  FROM treadle.knowledge_tags AS kt JOIN treadle.tags AS t ON t.workspace_id = kt.workspace_id AND t.id = kt.tag_id
  WHERE kt.workspace_id = workspace AND kt.knowledge_id = document
$$;
CREATE OR REPLACE FUNCTION treadle.index_document_tags(ids uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
  PERFORM 1 FROM treadle.search_documents AS s WHERE s.document_id = ANY (ids) ORDER BY s.document_id FOR UPDATE;
  WITH current AS MATERIALIZED (
    SELECT s.document_id, treadle.tags_of(s.workspace_id, s.document_id) AS tags
    FROM treadle.search_documents AS s WHERE s.document_id = ANY (ids)
  )
  UPDATE treadle.search_documents AS s SET
    tags = c.tags,
    names = ' ' || concat_ws(' ', s.title_key, treadle.search_key(array_to_string(c.tags, ' '))),
    vector = ts_filter(s.vector, '{a,b,c}') || treadle.tags_vector(c.tags)
  FROM current AS c
  WHERE s.document_id = c.document_id AND s.tags <> c.tags;
END
$$;
CREATE OR REPLACE FUNCTION treadle.search_knowledge_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET enable_nestloop = off
AS $$
DECLARE
  rewritten uuid[];
BEGIN
  SELECT array_agg(n.id) INTO rewritten FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
    WHERE n.title <> o.title OR n.excerpt <> o.excerpt OR n.content <> o.content
      OR NOT EXISTS (SELECT 1 FROM treadle.search_documents AS s WHERE s.document_id = n.id);
  UPDATE treadle.search_documents AS s SET status = n.status, author_id = n.author_id, collection_id = n.collection_id,
      created_at = n.created_at, updated_at = n.updated_at
    FROM new_rows AS n
    WHERE s.document_id = n.id AND n.id <> ALL (coalesce(rewritten, '{}'))
      AND (s.status, s.author_id, s.collection_id, s.created_at, s.updated_at)
        IS DISTINCT FROM (n.status, n.author_id, n.collection_id, n.created_at, n.updated_at);
  PERFORM treadle.index_for_writer(rewritten, false);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  PERFORM treadle.index_for_writer(ARRAY(SELECT id FROM new_rows), false);
  RETURN NULL;
END
$$;
