-- Up Migration

-- Whether Postgres knows the IANA time zone. Abbreviations and POSIX strings, which Postgres would take too, are refused.
CREATE FUNCTION treadle.is_time_zone(zone text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog
AS $$
BEGIN
  IF zone !~ '^(UTC|GMT|[A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT[+-][0-9]{1,2})$' THEN
    RETURN false;
  END IF;
  PERFORM timestamptz 'epoch' AT TIME ZONE zone;
  RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
  RETURN false;
END
$$;

CREATE TABLE treadle.workspaces (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  -- Stands in URLs and commands. Never shaped like an id, so that "name or id" has one meaning.
  name text NOT NULL CONSTRAINT workspaces_name_key UNIQUE
    CONSTRAINT workspaces_name_form CHECK (name ~ '^[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?$')
    CONSTRAINT workspaces_name_not_an_id CHECK (name !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
  display_name text NOT NULL DEFAULT '' CONSTRAINT workspaces_display_name_length CHECK (length(display_name) <= 200),
  description text NOT NULL DEFAULT '' CONSTRAINT workspaces_description_length CHECK (length(description) <= 2000),
  time_zone text NOT NULL DEFAULT 'UTC' CONSTRAINT workspaces_time_zone_known CHECK (treadle.is_time_zone(time_zone)),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Accounts (no workspace, known by their email) and people known in one workspace only, by email or by name alone: the
-- authors met in an import.
CREATE TABLE treadle.users (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid,
  email text CONSTRAINT users_email_form CHECK (length(email) <= 320 AND email ~ '^[^@\s]+@[^@\s]+$'),
  name text NOT NULL CONSTRAINT users_name_length CHECK (length(name) <= 200 AND btrim(name) <> ''),
  status text NOT NULL DEFAULT 'active' CONSTRAINT users_status_known CHECK (status IN ('active', 'disabled')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT users_account_has_email CHECK (workspace_id IS NOT NULL OR email IS NOT NULL)
);
CREATE UNIQUE INDEX users_email_key ON treadle.users (workspace_id, lower(email)) NULLS NOT DISTINCT
  WHERE email IS NOT NULL;
CREATE UNIQUE INDEX users_name_key ON treadle.users (workspace_id, lower(name)) WHERE email IS NULL;
CREATE INDEX users_by_email ON treadle.users (lower(email)) WHERE email IS NOT NULL;

-- Who may be named in a workspace, as an author or in a role.
CREATE TABLE treadle.workspace_members (
  workspace_id uuid NOT NULL,
  user_id uuid NOT NULL CONSTRAINT workspace_members_user_fkey REFERENCES treadle.users ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX workspace_members_user ON treadle.workspace_members (user_id);

CREATE FUNCTION treadle.users_join_home() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  INSERT INTO treadle.workspace_members (workspace_id, user_id)
    SELECT workspace_id, id FROM new_rows WHERE workspace_id IS NOT NULL
    ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$;
CREATE TRIGGER users_join_home AFTER INSERT ON treadle.users
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.users_join_home();

CREATE TABLE treadle.roles (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  name text NOT NULL CONSTRAINT roles_name_length CHECK (length(name) <= 100 AND btrim(name) <> ''),
  permissions text[] NOT NULL DEFAULT '{}',
  -- Of the system workspace: may be granted in every workspace.
  is_system_role boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT roles_name_key UNIQUE (workspace_id, name)
);

CREATE TABLE treadle.user_roles (
  workspace_id uuid NOT NULL,
  user_id uuid NOT NULL,
  role_id uuid NOT NULL CONSTRAINT user_roles_role_fkey REFERENCES treadle.roles ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, user_id, role_id),
  CONSTRAINT user_roles_member_fkey FOREIGN KEY (workspace_id, user_id)
    REFERENCES treadle.workspace_members (workspace_id, user_id) ON DELETE CASCADE
);
CREATE INDEX user_roles_role ON treadle.user_roles (role_id);

CREATE FUNCTION treadle.user_roles_same_workspace() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM treadle.roles AS r WHERE r.id = NEW.role_id AND (r.workspace_id = NEW.workspace_id OR r.is_system_role)) THEN
    RAISE EXCEPTION 'the role belongs to another workspace' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'user_roles_role_fkey',
      SCHEMA = 'treadle', TABLE = 'user_roles';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER user_roles_same_workspace BEFORE INSERT OR UPDATE ON treadle.user_roles
  FOR EACH ROW EXECUTE FUNCTION treadle.user_roles_same_workspace();

CREATE TABLE treadle.collections (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  name text NOT NULL CONSTRAINT collections_name_length CHECK (length(name) <= 200 AND btrim(name) <> ''),
  description text NOT NULL DEFAULT '' CONSTRAINT collections_description_length CHECK (length(description) <= 2000),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT collections_identity UNIQUE (workspace_id, id),
  CONSTRAINT collections_name_key UNIQUE (workspace_id, name)
);
ALTER TABLE treadle.collections REPLICA IDENTITY USING INDEX collections_identity;

CREATE TABLE treadle.tags (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  name text NOT NULL CONSTRAINT tags_name_length CHECK (length(name) <= 100 AND btrim(name) <> ''),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT tags_identity UNIQUE (workspace_id, id),
  CONSTRAINT tags_name_key UNIQUE (workspace_id, name)
);
ALTER TABLE treadle.tags REPLICA IDENTITY USING INDEX tags_identity;

-- The foreign keys contain the workspace, so that nothing of another one can be linked.
CREATE TABLE treadle.knowledge (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  title text NOT NULL CONSTRAINT knowledge_title_length CHECK (length(title) <= 500 AND btrim(title) <> ''),
  content text NOT NULL DEFAULT '' CONSTRAINT knowledge_content_length CHECK (octet_length(content) <= 8388608),
  content_delta jsonb CONSTRAINT knowledge_content_delta_length CHECK (pg_column_size(content_delta) <= 67108864),
  content_type text NOT NULL DEFAULT 'text/markdown'
    CONSTRAINT knowledge_content_type_form CHECK (length(content_type) <= 100 AND content_type ~ '^[a-z0-9.+-]+/[a-z0-9.+-]+$'),
  excerpt text NOT NULL DEFAULT '' CONSTRAINT knowledge_excerpt_length CHECK (length(excerpt) <= 2000),
  status text NOT NULL DEFAULT 'draft' CONSTRAINT knowledge_status_known CHECK (status IN ('draft', 'published', 'archived')),
  author_id uuid,
  collection_id uuid,
  source_id text CONSTRAINT knowledge_source_id_length CHECK (length(source_id) BETWEEN 1 AND 500),
  metadata jsonb NOT NULL DEFAULT '{}'
    CONSTRAINT knowledge_metadata_object CHECK (jsonb_typeof(metadata) = 'object')
    CONSTRAINT knowledge_metadata_length CHECK (pg_column_size(metadata) <= 1048576),
  version integer NOT NULL DEFAULT 1 CONSTRAINT knowledge_version_positive CHECK (version >= 1),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  -- Times that a cursor and a JavaScript Date can hold.
  CONSTRAINT knowledge_times_finite CHECK (
    created_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 00:00:00+00'
    AND updated_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 00:00:00+00'),
  CONSTRAINT knowledge_identity UNIQUE (workspace_id, id),
  CONSTRAINT knowledge_author_fkey FOREIGN KEY (workspace_id, author_id)
    REFERENCES treadle.workspace_members (workspace_id, user_id) ON DELETE SET NULL (author_id),
  CONSTRAINT knowledge_collection_fkey FOREIGN KEY (workspace_id, collection_id)
    REFERENCES treadle.collections (workspace_id, id) ON DELETE SET NULL (collection_id)
);
ALTER TABLE treadle.knowledge REPLICA IDENTITY USING INDEX knowledge_identity;
CREATE UNIQUE INDEX knowledge_source_id_key ON treadle.knowledge (workspace_id, source_id) WHERE source_id IS NOT NULL;
CREATE INDEX knowledge_latest ON treadle.knowledge (workspace_id, updated_at DESC, id DESC);
CREATE INDEX knowledge_author ON treadle.knowledge (workspace_id, author_id) WHERE author_id IS NOT NULL;
CREATE INDEX knowledge_collection ON treadle.knowledge (workspace_id, collection_id) WHERE collection_id IS NOT NULL;

CREATE TABLE treadle.knowledge_tags (
  workspace_id uuid NOT NULL,
  knowledge_id uuid NOT NULL,
  tag_id uuid NOT NULL,
  PRIMARY KEY (workspace_id, knowledge_id, tag_id),
  CONSTRAINT knowledge_tags_knowledge_fkey FOREIGN KEY (workspace_id, knowledge_id)
    REFERENCES treadle.knowledge (workspace_id, id) ON DELETE CASCADE,
  CONSTRAINT knowledge_tags_tag_fkey FOREIGN KEY (workspace_id, tag_id)
    REFERENCES treadle.tags (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX knowledge_tags_tag ON treadle.knowledge_tags (workspace_id, tag_id, knowledge_id);

-- What each version of a document held. Written by the triggers below, and removed by them with the document, set by set:
-- a foreign key would look at every row once more.
CREATE TABLE treadle.knowledge_versions (
  workspace_id uuid NOT NULL,
  knowledge_id uuid NOT NULL,
  version_number integer NOT NULL,
  title text NOT NULL,
  content text NOT NULL,
  content_delta jsonb,
  excerpt text NOT NULL,
  author_id uuid,
  actor text,
  change_summary text,
  -- The columns that differ from the version before.
  changed text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (knowledge_id, version_number)
);

-- Domain events, written in the transaction of the change. Consumers read in the order (xid, seq), and only below the
-- oldest transaction that still runs.
CREATE TABLE treadle.events (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  seq bigint GENERATED ALWAYS AS IDENTITY,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  type text NOT NULL CONSTRAINT events_type_form CHECK (length(type) <= 200 AND type ~ '^[a-z0-9-]+(\.[a-z0-9-]+)+$'),
  -- NULL for what belongs to no workspace. No foreign key: events outlive what they tell of.
  workspace_id uuid,
  aggregate_id text NOT NULL CONSTRAINT events_aggregate_id_length CHECK (length(aggregate_id) <= 500),
  version integer,
  data jsonb NOT NULL DEFAULT '{}',
  actor text,
  occurred_on timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE INDEX events_order ON treadle.events (xid, seq);
CREATE INDEX events_aggregate ON treadle.events (aggregate_id, seq);
CREATE INDEX events_time ON treadle.events (occurred_on, type);

-- Enqueues the embedding of documents: what treadle.enqueue('embeddings.embed-document', …) does, for any number of them in one
-- statement. Until the contract is registered, by the first start of a process, its defaults stand in.
CREATE FUNCTION treadle.enqueue_embeddings(workspace_ids uuid[], document_ids uuid[], reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  contract treadle.contracts;
BEGIN
  IF coalesce(cardinality(document_ids), 0) = 0 THEN
    RETURN;
  END IF;
  SELECT * INTO contract FROM treadle.contracts WHERE name = 'embeddings.embed-document';
  INSERT INTO treadle.jobs AS pending (name, queue, priority, tenant, payload, attempts_allowed, timeout_ms, deduplication_key)
  SELECT 'embeddings.embed-document', coalesce(contract.queue, 'embeddings'), coalesce(contract.priority, 5),
    workspace_id::text, payload, coalesce(contract.attempts, 8), coalesce(contract.timeout_ms, 60000),
    CASE WHEN coalesce(contract.deduplicate_by, '{documentId}') = '{documentId}' THEN document_id::text
      ELSE treadle.deduplication_key(contract.deduplicate_by, payload) END
  FROM unnest(workspace_ids, document_ids) AS document (workspace_id, document_id),
    LATERAL jsonb_build_object('workspaceId', workspace_id, 'documentId', document_id, 'reason', reason) AS payload
  ORDER BY document_id
  ON CONFLICT (name, tenant, deduplication_key)
    WHERE deduplication_key IS NOT NULL AND state IN ('accepted', 'delayed') AND returns <= 0
    DO UPDATE SET payload = excluded.payload, tags = excluded.tags, priority = least(pending.priority, excluded.priority);
  PERFORM pg_notify('treadle_relay', '') FROM treadle.relay WHERE sleeping;
END
$$;

-- Counts a document's versions: only for a change of what a reader sees. Writing updated_at alone is such a change too, and
-- says that something beside the row (its tags) is different.
CREATE FUNCTION treadle.knowledge_before_update() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
  IF NEW.id <> OLD.id OR NEW.workspace_id <> OLD.workspace_id THEN
    RAISE EXCEPTION 'id and workspace_id of a document cannot change' USING ERRCODE = 'check_violation',
      CONSTRAINT = 'knowledge_identity_fixed', SCHEMA = 'treadle', TABLE = 'knowledge';
  END IF;
  IF NEW.title IS DISTINCT FROM OLD.title OR NEW.content IS DISTINCT FROM OLD.content OR NEW.excerpt IS DISTINCT FROM OLD.excerpt
    OR NEW.status IS DISTINCT FROM OLD.status OR NEW.metadata IS DISTINCT FROM OLD.metadata
    OR NEW.author_id IS DISTINCT FROM OLD.author_id OR NEW.collection_id IS DISTINCT FROM OLD.collection_id
    OR NEW.content_delta IS DISTINCT FROM OLD.content_delta OR NEW.content_type IS DISTINCT FROM OLD.content_type
    OR NEW.source_id IS DISTINCT FROM OLD.source_id OR NEW.updated_at IS DISTINCT FROM OLD.updated_at
  THEN
    NEW.version := OLD.version + 1;
    NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at + interval '1 microsecond');
  ELSE
    NEW.version := OLD.version;
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER knowledge_before_update BEFORE UPDATE ON treadle.knowledge
  FOR EACH ROW EXECUTE FUNCTION treadle.knowledge_before_update();

-- The triggers that follow look at a whole statement at once, so that COPY costs little more than without them. Who changes
-- and why comes from the settings treadle.actor and treadle.change_summary of the transaction. They write as their owner: who may
-- write a document needs no right to the ledger.
CREATE FUNCTION treadle.knowledge_after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
SET jit = off
AS $$
DECLARE
  said_actor text := nullif(current_setting('treadle.actor', true), '');
  said_summary text := nullif(current_setting('treadle.change_summary', true), '');
BEGIN
  INSERT INTO treadle.knowledge_versions
    (workspace_id, knowledge_id, version_number, title, content, content_delta, excerpt, author_id, actor, change_summary)
  SELECT workspace_id, id, version, title, content, content_delta, excerpt, author_id, said_actor, said_summary FROM new_rows;
  INSERT INTO treadle.events (type, workspace_id, aggregate_id, version, data, actor)
  SELECT 'knowledge.created', workspace_id, id, version,
    jsonb_build_object('title', title, 'status', status, 'sourceId', source_id, 'previousVersion', NULL), said_actor
  FROM new_rows;
  PERFORM treadle.enqueue_embeddings(array_agg(workspace_id), array_agg(id), 'changed') FROM new_rows;
  RETURN NULL;
END
$$;
CREATE TRIGGER knowledge_after_insert AFTER INSERT ON treadle.knowledge
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.knowledge_after_insert();

-- A plan made for one row is kept for the next thousands: without nested loops that plan still serves them. (Forbidding them
-- makes a plan look so dear that it would be compiled, which takes longer than to run it: hence no JIT.)
CREATE FUNCTION treadle.knowledge_after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
SET jit = off
SET enable_nestloop = off
AS $$
DECLARE
  said_actor text := nullif(current_setting('treadle.actor', true), '');
  said_summary text := nullif(current_setting('treadle.change_summary', true), '');
  workspace_ids uuid[];
  document_ids uuid[];
BEGIN
  WITH change AS MATERIALIZED (
    SELECT n.*, o.version AS previous_version, array_remove(ARRAY[
      CASE WHEN n.title IS DISTINCT FROM o.title THEN 'title' END,
      CASE WHEN n.content IS DISTINCT FROM o.content THEN 'content' END,
      CASE WHEN n.content_delta IS DISTINCT FROM o.content_delta THEN 'content_delta' END,
      CASE WHEN n.content_type IS DISTINCT FROM o.content_type THEN 'content_type' END,
      CASE WHEN n.excerpt IS DISTINCT FROM o.excerpt THEN 'excerpt' END,
      CASE WHEN n.status IS DISTINCT FROM o.status THEN 'status' END,
      CASE WHEN n.author_id IS DISTINCT FROM o.author_id THEN 'author_id' END,
      CASE WHEN n.collection_id IS DISTINCT FROM o.collection_id THEN 'collection_id' END,
      CASE WHEN n.source_id IS DISTINCT FROM o.source_id THEN 'source_id' END,
      CASE WHEN n.metadata IS DISTINCT FROM o.metadata THEN 'metadata' END], NULL) AS changed
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
    WHERE n.version <> o.version
  ), snapshot AS (
    INSERT INTO treadle.knowledge_versions
      (workspace_id, knowledge_id, version_number, title, content, content_delta, excerpt, author_id, actor, change_summary, changed)
    SELECT workspace_id, id, version, title, content, content_delta, excerpt, author_id, said_actor, said_summary, changed
    FROM change
  ), event AS (
    INSERT INTO treadle.events (type, workspace_id, aggregate_id, version, data, actor)
    SELECT 'knowledge.updated', workspace_id, id, version,
      jsonb_build_object('title', title, 'status', status, 'sourceId', source_id,
        'previousVersion', previous_version, 'changed', changed), said_actor
    FROM change
  )
  SELECT array_agg(workspace_id), array_agg(id) INTO workspace_ids, document_ids
  FROM change WHERE changed && '{title,content,excerpt}';
  PERFORM treadle.enqueue_embeddings(workspace_ids, document_ids, 'changed');
  RETURN NULL;
END
$$;
CREATE TRIGGER knowledge_after_update AFTER UPDATE ON treadle.knowledge
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.knowledge_after_update();

CREATE FUNCTION treadle.knowledge_after_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
SET jit = off
AS $$
BEGIN
  DELETE FROM treadle.knowledge_versions
    WHERE knowledge_id = ANY (ARRAY(SELECT id FROM old_rows));
  INSERT INTO treadle.events (type, workspace_id, aggregate_id, version, data, actor)
  SELECT 'knowledge.deleted', workspace_id, id, version,
    jsonb_build_object('title', title, 'status', status, 'sourceId', source_id, 'previousVersion', version),
    nullif(current_setting('treadle.actor', true), '')
  FROM old_rows;
  RETURN NULL;
END
$$;
CREATE TRIGGER knowledge_after_delete AFTER DELETE ON treadle.knowledge
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.knowledge_after_delete();

CREATE FUNCTION treadle.knowledge_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  TRUNCATE treadle.knowledge_versions;
  RETURN NULL;
END
$$;
CREATE TRIGGER knowledge_truncated AFTER TRUNCATE ON treadle.knowledge
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.knowledge_truncated();

CREATE FUNCTION treadle.tags_after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
SET jit = off
AS $$
BEGIN
  INSERT INTO treadle.events (type, workspace_id, aggregate_id, data, actor)
  SELECT 'tag.created', workspace_id, id, jsonb_build_object('name', name), nullif(current_setting('treadle.actor', true), '')
  FROM new_rows;
  RETURN NULL;
END
$$;
CREATE TRIGGER tags_after_insert AFTER INSERT ON treadle.tags
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.tags_after_insert();

CREATE FUNCTION treadle.tags_after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
SET jit = off
SET enable_nestloop = off
AS $$
BEGIN
  INSERT INTO treadle.events (type, workspace_id, aggregate_id, data, actor)
  SELECT 'tag.updated', n.workspace_id, n.id, jsonb_build_object('name', n.name, 'previousName', o.name),
    nullif(current_setting('treadle.actor', true), '')
  FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
  WHERE n.name <> o.name;
  RETURN NULL;
END
$$;
CREATE TRIGGER tags_after_update AFTER UPDATE ON treadle.tags
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tags_after_update();

-- In this order, for it is the order in which the rows of a deleted workspace go: documents first, so that nothing they
-- name disappears under them.
ALTER TABLE treadle.knowledge ADD CONSTRAINT knowledge_workspace_fkey
  FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE;
ALTER TABLE treadle.tags ADD CONSTRAINT tags_workspace_fkey
  FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE;
ALTER TABLE treadle.collections ADD CONSTRAINT collections_workspace_fkey
  FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE;
ALTER TABLE treadle.workspace_members ADD CONSTRAINT workspace_members_workspace_fkey
  FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE;
ALTER TABLE treadle.roles ADD CONSTRAINT roles_workspace_fkey
  FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE;
ALTER TABLE treadle.users ADD CONSTRAINT users_workspace_fkey
  FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE;

-- Down Migration
DROP TABLE treadle.knowledge_tags, treadle.knowledge_versions, treadle.knowledge, treadle.events, treadle.tags, treadle.collections,
  treadle.user_roles, treadle.roles, treadle.workspace_members, treadle.users, treadle.workspaces;
DROP FUNCTION treadle.knowledge_truncated(), treadle.knowledge_after_delete(), treadle.knowledge_after_update(),
  treadle.knowledge_after_insert(), treadle.knowledge_before_update(), treadle.tags_after_insert(), treadle.tags_after_update(),
  treadle.enqueue_embeddings(uuid[], uuid[], text), treadle.user_roles_same_workspace(), treadle.users_join_home(),
  treadle.is_time_zone(text);
