-- Up Migration

-- Vectors that an app keeps, beside those of chunks: rows of treadle.embeddings of the type `vectors:` and their namespace.
ALTER TABLE treadle.embeddings
  -- What the app calls its vector; NULL for chunks.
  ADD COLUMN vector_id text,
  ADD COLUMN metadata jsonb;

-- All vectors of a namespace have one length, that of its first.
CREATE TABLE treadle.vector_namespaces (
  workspace_id uuid NOT NULL CONSTRAINT vector_namespaces_workspace_fkey REFERENCES treadle.workspaces ON DELETE CASCADE,
  namespace text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 100),
  dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 16000),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, namespace)
);

-- The entity_id under which a vector lies: another in every workspace and namespace, whatever the app calls it.
CREATE FUNCTION treadle.vector_entity(workspace uuid, namespace text, id text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog
AS $$
  SELECT encode(substring(sha256(convert_to(workspace::text || '/' || namespace || '/' || id, 'UTF8')) FOR 16), 'hex')::uuid
$$;

-- What remains of a namespace when it is deleted, by itself or with its workspace: nothing.
CREATE FUNCTION treadle.forget_vectors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  DELETE FROM treadle.embeddings AS e USING old_rows AS gone
  WHERE e.workspace_id = gone.workspace_id AND e.model = 'vectors' AND e.entity_type = 'vectors:' || gone.namespace;
  RETURN NULL;
END
$$;
CREATE TRIGGER forget_vectors AFTER DELETE ON treadle.vector_namespaces
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.forget_vectors();

-- The vectors of nodes go with them. Of an element the id has its own behind that of its entity.
CREATE FUNCTION treadle.vector_id_of_node(entity uuid, node text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog
AS $$ SELECT entity::text || CASE WHEN node = '' THEN '' ELSE '/' || node END $$;

CREATE FUNCTION treadle.nodes_forget_vectors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM treadle.embeddings
    WHERE entity_type = 'vectors:nodes.' || NEW.feature_type AND entity_id = treadle.vector_entity(
      NEW.workspace_id, 'nodes.' || NEW.feature_type, treadle.vector_id_of_node(NEW.entity_id, NEW.node_id));
  ELSE
    DELETE FROM treadle.embeddings AS e USING old_rows AS gone
    WHERE e.entity_type = 'vectors:nodes.' || gone.feature_type AND e.entity_id = treadle.vector_entity(
      gone.workspace_id, 'nodes.' || gone.feature_type, treadle.vector_id_of_node(gone.entity_id, gone.node_id));
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER forget_vectors_of_deleted AFTER UPDATE ON treadle.node_metadata
  FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
  EXECUTE FUNCTION treadle.nodes_forget_vectors();
CREATE TRIGGER forget_vectors AFTER DELETE ON treadle.node_metadata
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.nodes_forget_vectors();

-- Down Migration

DROP TRIGGER forget_vectors ON treadle.node_metadata;
DROP TRIGGER forget_vectors_of_deleted ON treadle.node_metadata;
DROP FUNCTION treadle.nodes_forget_vectors();
DROP FUNCTION treadle.vector_id_of_node(uuid, text);
DROP TABLE treadle.vector_namespaces;
DROP FUNCTION treadle.forget_vectors();
DROP FUNCTION treadle.vector_entity(uuid, text, text);
DELETE FROM treadle.embeddings WHERE vector_id IS NOT NULL;
ALTER TABLE treadle.embeddings DROP COLUMN vector_id, DROP COLUMN metadata;
