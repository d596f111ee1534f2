-- Up Migration

-- What an entity's elements must be: an array of objects, each with an id of its own.
CREATE FUNCTION treadle.are_elements(elements jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog
AS $$
  SELECT CASE WHEN jsonb_typeof(elements) = 'array' THEN (
    SELECT count(*) = count(DISTINCT element ->> 'id')
      AND coalesce(bool_and(jsonb_typeof(element) = 'object' AND jsonb_typeof(element -> 'id') = 'string'
        AND length(element ->> 'id') BETWEEN 1 AND 255), true)
    FROM jsonb_array_elements(elements) AS element) ELSE false END
$$;

CREATE TABLE treadle.function_models (
  model_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  name text NOT NULL CONSTRAINT function_models_name_length CHECK (length(name) <= 255 AND btrim(name) <> ''),
  description text CONSTRAINT function_models_description_length CHECK (length(description) <= 10000),
  version text NOT NULL DEFAULT '1.0.0' CONSTRAINT function_models_version_length CHECK (length(version) BETWEEN 1 AND 50),
  status text NOT NULL DEFAULT 'draft' CONSTRAINT function_models_status_known CHECK (status IN ('draft', 'active', 'archived')),
  nodes_data jsonb NOT NULL DEFAULT '[]' CONSTRAINT function_models_elements CHECK (treadle.are_elements(nodes_data)),
  edges_data jsonb NOT NULL DEFAULT '[]' CONSTRAINT function_models_edges CHECK (treadle.are_elements(edges_data)),
  viewport_data jsonb NOT NULL DEFAULT '{"x": 0, "y": 0, "zoom": 1}'
    CONSTRAINT function_models_viewport CHECK (jsonb_typeof(viewport_data) = 'object'),
  process_type text CONSTRAINT function_models_process_type_length CHECK (length(process_type) <= 100),
  complexity_level text CONSTRAINT function_models_complexity_level_length CHECK (length(complexity_level) <= 20),
  -- Minutes.
  estimated_duration integer CONSTRAINT function_models_estimated_duration_range CHECK (estimated_duration >= 0),
  tags text[] NOT NULL DEFAULT '{}',
  metadata jsonb NOT NULL DEFAULT '{}' CONSTRAINT function_models_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
  permissions jsonb NOT NULL DEFAULT '{}' CONSTRAINT function_models_permissions_object CHECK (jsonb_typeof(permissions) = 'object'),
  revision integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  last_saved_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  deleted_by text,
  CONSTRAINT function_models_workspace_fkey FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE
);
CREATE INDEX function_models_latest ON treadle.function_models (workspace_id, updated_at DESC, model_id DESC) WHERE deleted_at IS NULL;

CREATE TABLE treadle.knowledge_base_sops (
  sop_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  title text NOT NULL CONSTRAINT knowledge_base_sops_title_length CHECK (length(title) <= 255 AND btrim(title) <> ''),
  content text NOT NULL CONSTRAINT knowledge_base_sops_content_length CHECK (octet_length(content) <= 8388608),
  summary text CONSTRAINT knowledge_base_sops_summary_length CHECK (length(summary) <= 10000),
  tags text[] NOT NULL DEFAULT '{}',
  category text CONSTRAINT knowledge_base_sops_category_length CHECK (length(category) <= 100),
  version text NOT NULL DEFAULT '1.0.0' CONSTRAINT knowledge_base_sops_version_length CHECK (length(version) BETWEEN 1 AND 50),
  status text NOT NULL DEFAULT 'draft'
    CONSTRAINT knowledge_base_sops_status_known CHECK (status IN ('draft', 'published', 'archived')),
  nodes_data jsonb NOT NULL DEFAULT '[]' CONSTRAINT knowledge_base_sops_elements CHECK (treadle.are_elements(nodes_data)),
  node_position jsonb NOT NULL DEFAULT '{"x": 0, "y": 0}'
    CONSTRAINT knowledge_base_sops_position CHECK (jsonb_typeof(node_position) = 'object'),
  node_metadata jsonb NOT NULL DEFAULT '{}'
    CONSTRAINT knowledge_base_sops_node_metadata_object CHECK (jsonb_typeof(node_metadata) = 'object'),
  author text CONSTRAINT knowledge_base_sops_author_length CHECK (length(author) <= 255),
  -- Minutes.
  read_time integer CONSTRAINT knowledge_base_sops_read_time_range CHECK (read_time >= 0),
  search_keywords text[] NOT NULL DEFAULT '{}',
  revision integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  -- A view is no change: it neither makes a revision nor an event.
  last_viewed_at timestamptz,
  deleted_at timestamptz,
  deleted_by text,
  CONSTRAINT knowledge_base_sops_workspace_fkey FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE
);
CREATE INDEX knowledge_base_sops_latest ON treadle.knowledge_base_sops (workspace_id, updated_at DESC, sop_id DESC) WHERE deleted_at IS NULL;
CREATE INDEX knowledge_base_sops_category ON treadle.knowledge_base_sops (workspace_id, category, title, sop_id) WHERE deleted_at IS NULL;
-- Keywords stand where a document has its excerpt.
CREATE INDEX knowledge_base_sops_words ON treadle.knowledge_base_sops
  USING gin (treadle.search_vector(title, coalesce(summary, ''), content)) WHERE deleted_at IS NULL;
CREATE INDEX knowledge_base_sops_keywords ON treadle.knowledge_base_sops USING gin (search_keywords) WHERE deleted_at IS NULL;

CREATE TABLE treadle.event_storms (
  storm_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  name text NOT NULL CONSTRAINT event_storms_name_length CHECK (length(name) <= 255 AND btrim(name) <> ''),
  description text CONSTRAINT event_storms_description_length CHECK (length(description) <= 10000),
  version text NOT NULL DEFAULT '1.0.0' CONSTRAINT event_storms_version_length CHECK (length(version) BETWEEN 1 AND 50),
  status text NOT NULL DEFAULT 'draft' CONSTRAINT event_storms_status_known CHECK (status IN ('draft', 'active', 'archived')),
  nodes_data jsonb NOT NULL DEFAULT '[]' CONSTRAINT event_storms_elements CHECK (treadle.are_elements(nodes_data)),
  edges_data jsonb NOT NULL DEFAULT '[]' CONSTRAINT event_storms_edges CHECK (treadle.are_elements(edges_data)),
  viewport_data jsonb NOT NULL DEFAULT '{"x": 0, "y": 0, "zoom": 1}'
    CONSTRAINT event_storms_viewport CHECK (jsonb_typeof(viewport_data) = 'object'),
  domain_context text CONSTRAINT event_storms_domain_context_length CHECK (length(domain_context) <= 10000),
  time_horizon text CONSTRAINT event_storms_time_horizon_length CHECK (length(time_horizon) <= 50),
  aggregates jsonb NOT NULL DEFAULT '[]' CONSTRAINT event_storms_aggregates CHECK (treadle.are_elements(aggregates)),
  tags text[] NOT NULL DEFAULT '{}',
  metadata jsonb NOT NULL DEFAULT '{}' CONSTRAINT event_storms_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
  revision integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  deleted_by text,
  CONSTRAINT event_storms_workspace_fkey FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE
);
CREATE INDEX event_storms_latest ON treadle.event_storms (workspace_id, updated_at DESC, storm_id DESC) WHERE deleted_at IS NULL;
-- Of its hash: an index entry cannot hold a long text.
CREATE INDEX event_storms_domain ON treadle.event_storms (workspace_id, md5(domain_context)) WHERE deleted_at IS NULL;

CREATE TABLE treadle.spindles (
  spindle_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  name text NOT NULL CONSTRAINT spindles_name_length CHECK (length(name) <= 255 AND btrim(name) <> ''),
  description text CONSTRAINT spindles_description_length CHECK (length(description) <= 10000),
  version text NOT NULL DEFAULT '1.0.0' CONSTRAINT spindles_version_length CHECK (length(version) BETWEEN 1 AND 50),
  status text NOT NULL DEFAULT 'draft'
    CONSTRAINT spindles_status_known CHECK (status IN ('draft', 'active', 'inactive', 'error', 'archived')),
  nodes_data jsonb NOT NULL DEFAULT '[]' CONSTRAINT spindles_elements CHECK (treadle.are_elements(nodes_data)),
  edges_data jsonb NOT NULL DEFAULT '[]' CONSTRAINT spindles_edges CHECK (treadle.are_elements(edges_data)),
  viewport_data jsonb NOT NULL DEFAULT '{"x": 0, "y": 0, "zoom": 1}'
    CONSTRAINT spindles_viewport CHECK (jsonb_typeof(viewport_data) = 'object'),
  spindle_type text CONSTRAINT spindles_spindle_type_length CHECK (length(spindle_type) <= 50),
  complexity_level text CONSTRAINT spindles_complexity_level_length CHECK (length(complexity_level) <= 20),
  tags text[] NOT NULL DEFAULT '{}',
  metadata jsonb NOT NULL DEFAULT '{}' CONSTRAINT spindles_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
  revision integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  deleted_by text,
  CONSTRAINT spindles_workspace_fkey FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE
);
CREATE INDEX spindles_latest ON treadle.spindles (workspace_id, updated_at DESC, spindle_id DESC) WHERE deleted_at IS NULL;

-- Every change of an entity or a link, in the order of its revisions. `data` holds the columns that the change set, so that
-- the events of an entity, merged one after another, are its row. feature_type is `link` for the revisions of a link.
CREATE TABLE treadle.node_events (
  event_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  event_type text NOT NULL CONSTRAINT node_events_type_known CHECK (
    event_type IN ('node.created', 'node.updated', 'node.deleted', 'node.restored', 'link.created', 'link.updated', 'link.removed')),
  feature_type text NOT NULL CONSTRAINT node_events_feature_known CHECK (
    feature_type IN ('function-model', 'knowledge-base', 'event-storm', 'spindle', 'link')),
  entity_id uuid NOT NULL,
  revision integer NOT NULL,
  data jsonb NOT NULL,
  actor text,
  change_summary text,
  "timestamp" timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT node_events_revision_key UNIQUE (feature_type, entity_id, revision)
);
CREATE INDEX node_events_workspace ON treadle.node_events (workspace_id, event_id);

CREATE AGGREGATE treadle.jsonb_merge(jsonb) (SFUNC = jsonb_concat, STYPE = jsonb, INITCOND = '{}');

-- An entity as its events tell: its row as JSON, as of a time or now; NULL before it was made.
CREATE FUNCTION treadle.node_state(feature text, entity uuid, as_of timestamptz DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog
AS $$
  SELECT nullif(treadle.jsonb_merge(data ORDER BY revision), '{}') FROM treadle.node_events
  WHERE feature_type = feature AND entity_id = entity AND (as_of IS NULL OR "timestamp" <= as_of)
$$;

-- What all nodes have in common: a row for every entity (node_id is empty) and for every element of one. Read from here,
-- written by the triggers below only; treadle.rebuild_nodes makes it anew from the events.
CREATE TABLE treadle.node_metadata (
  workspace_id uuid NOT NULL,
  feature_type text NOT NULL CONSTRAINT node_metadata_feature_known CHECK (
    feature_type IN ('function-model', 'knowledge-base', 'event-storm', 'spindle')),
  entity_id uuid NOT NULL,
  node_id text NOT NULL DEFAULT '',
  node_type text NOT NULL,
  name text NOT NULL,
  status text,
  position_x float8 NOT NULL DEFAULT 0,
  position_y float8 NOT NULL DEFAULT 0,
  tags text[] NOT NULL DEFAULT '{}',
  search_keywords text[] NOT NULL DEFAULT '{}',
  visual_properties jsonb NOT NULL DEFAULT '{}',
  -- Of the entity; NULL for its elements.
  revision integer,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  deleted_at timestamptz,
  PRIMARY KEY (workspace_id, feature_type, entity_id, node_id),
  CONSTRAINT node_metadata_workspace_fkey FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE
);
CREATE INDEX node_metadata_latest ON treadle.node_metadata (workspace_id, feature_type, updated_at DESC, entity_id DESC)
  WHERE node_id = '' AND deleted_at IS NULL;

CREATE TABLE treadle.node_link_types (
  type_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  type_name text NOT NULL CONSTRAINT node_link_types_name_key UNIQUE
    CONSTRAINT node_link_types_name_form CHECK (type_name ~ '^[a-z][a-z0-9-]{0,49}$'),
  description text,
  color text CONSTRAINT node_link_types_color_form CHECK (color ~ '^#[0-9A-Fa-f]{6}$'),
  icon text CONSTRAINT node_link_types_icon_length CHECK (length(icon) <= 50),
  is_bidirectional boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO treadle.node_link_types (type_name, description, color, icon, is_bidirectional) VALUES
  ('references', 'One entity references another', '#3B82F6', 'link', true),
  ('implements', 'One entity implements another', '#10B981', 'check-circle', false),
  ('documents', 'One entity documents another', '#F59E0B', 'file-text', false),
  ('supports', 'One entity supports another', '#8B5CF6', 'shield', false),
  ('nested', 'One entity is nested within another', '#EF4444', 'layers', false);

CREATE TABLE treadle.node_links (
  link_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  source_feature text NOT NULL,
  source_entity_id uuid NOT NULL,
  source_node_id text NOT NULL DEFAULT '',
  target_feature text NOT NULL,
  target_entity_id uuid NOT NULL,
  target_node_id text NOT NULL DEFAULT '',
  link_type text NOT NULL CONSTRAINT node_links_type_fkey REFERENCES treadle.node_link_types (type_name) ON UPDATE CASCADE,
  link_strength numeric(3, 2) NOT NULL DEFAULT 1.0 CONSTRAINT node_links_strength_range CHECK (link_strength BETWEEN 0 AND 1),
  link_context jsonb NOT NULL DEFAULT '{}' CONSTRAINT node_links_context_object CHECK (jsonb_typeof(link_context) = 'object'),
  -- What is to look otherwise than the link's type says.
  visual_properties jsonb NOT NULL DEFAULT '{}'
    CONSTRAINT node_links_visual_properties_object CHECK (jsonb_typeof(visual_properties) = 'object'),
  created_by text,
  revision integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT node_links_not_to_itself CHECK (
    (source_feature, source_entity_id, source_node_id) <> (target_feature, target_entity_id, target_node_id)),
  CONSTRAINT node_links_source_fkey FOREIGN KEY (workspace_id, source_feature, source_entity_id, source_node_id)
    REFERENCES treadle.node_metadata (workspace_id, feature_type, entity_id, node_id) ON DELETE CASCADE,
  CONSTRAINT node_links_target_fkey FOREIGN KEY (workspace_id, target_feature, target_entity_id, target_node_id)
    REFERENCES treadle.node_metadata (workspace_id, feature_type, entity_id, node_id) ON DELETE CASCADE,
  CONSTRAINT node_links_ends_key UNIQUE (source_entity_id, target_entity_id, source_node_id, target_node_id, link_type, source_feature, target_feature)
);
CREATE INDEX node_links_target ON treadle.node_links (target_entity_id, target_node_id);

CREATE TABLE treadle.ai_agents (
  agent_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  feature_type text NOT NULL,
  entity_id uuid NOT NULL,
  node_id text NOT NULL DEFAULT '',
  name text NOT NULL CONSTRAINT ai_agents_name_length CHECK (length(name) <= 255 AND btrim(name) <> ''),
  instructions text CONSTRAINT ai_agents_instructions_length CHECK (length(instructions) <= 100000),
  tools jsonb NOT NULL DEFAULT '[]' CONSTRAINT ai_agents_tools_array CHECK (jsonb_typeof(tools) = 'array'),
  capabilities jsonb NOT NULL DEFAULT '{}' CONSTRAINT ai_agents_capabilities_object CHECK (jsonb_typeof(capabilities) = 'object'),
  metadata jsonb NOT NULL DEFAULT '{}' CONSTRAINT ai_agents_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
  is_enabled boolean NOT NULL DEFAULT true,
  last_executed_at timestamptz,
  revision integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT ai_agents_node_key UNIQUE (workspace_id, feature_type, entity_id, node_id),
  CONSTRAINT ai_agents_node_fkey FOREIGN KEY (workspace_id, feature_type, entity_id, node_id)
    REFERENCES treadle.node_metadata (workspace_id, feature_type, entity_id, node_id) ON DELETE CASCADE
);

-- What was run of function models, spindles and agents, and how it went.
CREATE TABLE treadle.executions (
  execution_id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  workspace_id uuid NOT NULL,
  kind text NOT NULL CONSTRAINT executions_kind_known CHECK (kind IN ('function-model', 'spindle', 'agent')),
  -- Of the function model, spindle or agent.
  entity_id uuid NOT NULL,
  status text NOT NULL DEFAULT 'queued'
    CONSTRAINT executions_status_known CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
  context jsonb NOT NULL DEFAULT '{}',
  result jsonb,
  error jsonb,
  job_id uuid,
  actor text,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  CONSTRAINT executions_times CHECK (finished_at >= started_at),
  CONSTRAINT executions_workspace_fkey FOREIGN KEY (workspace_id) REFERENCES treadle.workspaces ON DELETE CASCADE
);
CREATE INDEX executions_latest ON treadle.executions (workspace_id, kind, entity_id, created_at DESC, execution_id DESC);

-- The rows of treadle.node_metadata that stand for an entity, whose own row is given as JSON.
CREATE FUNCTION treadle.node_rows(feature text, state jsonb) RETURNS TABLE (
  workspace_id uuid, entity_id uuid, node_id text, node_type text, name text, status text, position_x float8, position_y float8,
  tags text[], search_keywords text[], visual_properties jsonb, revision integer, created_at timestamptz, updated_at timestamptz,
  deleted_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog
AS $$
  SELECT (state ->> 'workspace_id')::uuid, entity, node ->> 'id', coalesce(node ->> 'type', feature),
    coalesce(node ->> 'name', node -> 'data' ->> 'label', node ->> 'id'), node ->> 'status',
    CASE WHEN jsonb_typeof(node -> 'position' -> 'x') = 'number' THEN (node -> 'position' ->> 'x')::float8 ELSE 0 END,
    CASE WHEN jsonb_typeof(node -> 'position' -> 'y') = 'number' THEN (node -> 'position' ->> 'y')::float8 ELSE 0 END,
    CASE WHEN jsonb_typeof(node -> 'tags') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(node -> 'tags')) ELSE '{}' END,
    CASE WHEN jsonb_typeof(node -> 'search_keywords') = 'array'
      THEN ARRAY(SELECT jsonb_array_elements_text(node -> 'search_keywords')) ELSE '{}' END,
    CASE WHEN jsonb_typeof(node -> 'visualProperties') = 'object' THEN node -> 'visualProperties' ELSE '{}' END,
    (node ->> 'revision')::integer, (state ->> 'created_at')::timestamptz, (state ->> 'updated_at')::timestamptz,
    (state ->> 'deleted_at')::timestamptz
  FROM (SELECT coalesce(state ->> 'model_id', state ->> 'sop_id', state ->> 'storm_id', state ->> 'spindle_id')::uuid) AS own (entity),
    LATERAL (
      SELECT jsonb_build_object('id', '', 'name', coalesce(state ->> 'name', state ->> 'title'), 'status', state -> 'status',
        'position', state -> 'node_position', 'tags', state -> 'tags', 'search_keywords', state -> 'search_keywords',
        'revision', state -> 'revision') AS node
      UNION ALL
      SELECT element - '{revision,status}'::text[] FROM jsonb_array_elements(state -> 'nodes_data') AS element) AS nodes
$$;

-- Makes treadle.node_metadata say what these entities say. `states` are their rows as JSON. Whichever the number of rows that a
-- plan was made for: the rows are looked up one by one, and the table is never read as a whole.
CREATE FUNCTION treadle.index_nodes(feature text, states jsonb[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog SET jit = off SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO treadle.node_metadata AS known (workspace_id, feature_type, entity_id, node_id, node_type, name, status, position_x,
    position_y, tags, search_keywords, visual_properties, revision, created_at, updated_at, deleted_at)
  SELECT workspace_id, feature, entity_id, node_id, node_type, name, status, position_x, position_y, tags, search_keywords,
    visual_properties, revision, created_at, updated_at, deleted_at
  FROM unnest(states) AS state, treadle.node_rows(feature, state)
  ORDER BY entity_id, node_id
  ON CONFLICT (workspace_id, feature_type, entity_id, node_id) DO UPDATE SET node_type = excluded.node_type, name = excluded.name,
    status = excluded.status, position_x = excluded.position_x, position_y = excluded.position_y, tags = excluded.tags,
    search_keywords = excluded.search_keywords, visual_properties = excluded.visual_properties, revision = excluded.revision,
    updated_at = excluded.updated_at, deleted_at = excluded.deleted_at
  WHERE (known.node_type, known.name, known.status, known.position_x, known.position_y, known.tags, known.search_keywords,
      known.visual_properties, known.revision, known.deleted_at)
    IS DISTINCT FROM (excluded.node_type, excluded.name, excluded.status, excluded.position_x, excluded.position_y, excluded.tags,
      excluded.search_keywords, excluded.visual_properties, excluded.revision, excluded.deleted_at);
  DELETE FROM treadle.node_metadata AS known
  USING unnest(states) AS state
  WHERE known.workspace_id = (state ->> 'workspace_id')::uuid AND known.feature_type = feature
    AND known.entity_id = coalesce(state ->> 'model_id', state ->> 'sop_id', state ->> 'storm_id', state ->> 'spindle_id')::uuid
    AND known.node_id <> ''
    AND NOT EXISTS (SELECT FROM jsonb_array_elements(state -> 'nodes_data') AS element WHERE element ->> 'id' = known.node_id);
END
$$;

-- Counts the revisions of entities, links and agents. The column named first is the id, which stays what it is; the others
-- named change without a revision.
CREATE FUNCTION treadle.node_before_update() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  uncounted text[] := ARRAY['revision', 'updated_at'] || TG_ARGV[1:];
  old_row jsonb := to_jsonb(OLD);
  new_row jsonb := to_jsonb(NEW);
BEGIN
  IF new_row -> TG_ARGV[0] <> old_row -> TG_ARGV[0] OR NEW.workspace_id <> OLD.workspace_id THEN
    RAISE EXCEPTION 'id and workspace_id cannot change' USING ERRCODE = 'check_violation',
      CONSTRAINT = TG_TABLE_NAME || '_identity_fixed', SCHEMA = 'treadle', TABLE = TG_TABLE_NAME;
  END IF;
  IF new_row - uncounted = old_row - uncounted THEN
    NEW.revision := OLD.revision;
    NEW.updated_at := OLD.updated_at;
  ELSE
    NEW.revision := OLD.revision + 1;
    NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at + interval '1 microsecond');
    IF TG_TABLE_NAME = 'function_models' THEN
      NEW.last_saved_at := NEW.updated_at;
    END IF;
  END IF;
  RETURN NEW;
END
$$;

-- The triggers that follow look at a whole statement at once. They are told the feature and the column of its id.
CREATE FUNCTION treadle.node_after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET jit = off
AS $$
DECLARE
  states jsonb[];
BEGIN
  INSERT INTO treadle.node_events (workspace_id, event_type, feature_type, entity_id, revision, data, actor, change_summary, "timestamp")
  SELECT workspace_id, 'node.created', TG_ARGV[0], (state ->> TG_ARGV[1])::uuid, revision, state,
    nullif(current_setting('treadle.actor', true), ''), nullif(current_setting('treadle.change_summary', true), ''), updated_at
  FROM new_rows AS inserted, to_jsonb(inserted) AS state;
  SELECT array_agg(to_jsonb(inserted)) INTO states FROM new_rows AS inserted;
  PERFORM treadle.index_nodes(TG_ARGV[0], states);
  RETURN NULL;
END
$$;

CREATE FUNCTION treadle.node_after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET jit = off SET enable_nestloop = off
AS $$
DECLARE
  states jsonb[];
  gone uuid[];
BEGIN
  WITH changed AS MATERIALIZED (
    SELECT old_state, new_state, (new_state ->> TG_ARGV[1])::uuid AS id
    FROM (SELECT to_jsonb(o) AS old_state FROM old_rows AS o) AS o
    JOIN (SELECT to_jsonb(n) AS new_state FROM new_rows AS n) AS n ON old_state -> TG_ARGV[1] = new_state -> TG_ARGV[1]
    WHERE old_state -> 'revision' <> new_state -> 'revision'
  ), event AS (
    INSERT INTO treadle.node_events (workspace_id, event_type, feature_type, entity_id, revision, data, actor, change_summary, "timestamp")
    SELECT (new_state ->> 'workspace_id')::uuid,
      CASE WHEN (old_state ->> 'deleted_at' IS NULL) = (new_state ->> 'deleted_at' IS NULL) THEN 'node.updated'
        WHEN new_state ->> 'deleted_at' IS NULL THEN 'node.restored' ELSE 'node.deleted' END,
      TG_ARGV[0], id, (new_state ->> 'revision')::integer,
      (SELECT jsonb_object_agg(key, value) FROM jsonb_each(new_state) WHERE value <> old_state -> key),
      nullif(current_setting('treadle.actor', true), ''), nullif(current_setting('treadle.change_summary', true), ''),
      (new_state ->> 'updated_at')::timestamptz
    FROM changed
  )
  SELECT array_agg(new_state), array_agg(id) FILTER (WHERE new_state ->> 'deleted_at' IS NOT NULL) INTO states, gone FROM changed;
  IF states IS NOT NULL THEN
    PERFORM treadle.index_nodes(TG_ARGV[0], states);
  END IF;
  IF gone IS NOT NULL THEN
    DELETE FROM treadle.node_links WHERE source_entity_id = ANY (gone) AND source_feature = TG_ARGV[0];
    DELETE FROM treadle.node_links WHERE target_entity_id = ANY (gone) AND target_feature = TG_ARGV[0];
  END IF;
  RETURN NULL;
END
$$;

-- Whoever deletes the row itself deletes its history, too: a deletion that is to be remembered sets deleted_at.
CREATE FUNCTION treadle.node_after_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET jit = off
AS $$
DECLARE
  gone uuid[];
BEGIN
  SELECT array_agg((to_jsonb(deleted) ->> TG_ARGV[1])::uuid) INTO gone FROM old_rows AS deleted;
  DELETE FROM treadle.node_metadata WHERE entity_id = ANY (gone) AND feature_type = TG_ARGV[0]
    AND workspace_id IN (SELECT workspace_id FROM old_rows);
  DELETE FROM treadle.node_events WHERE entity_id = ANY (gone) AND feature_type = TG_ARGV[0];
  RETURN NULL;
END
$$;

DO $$
DECLARE
  feature record;
BEGIN
  FOR feature IN VALUES ('function_models', 'function-model', 'model_id', ''), ('knowledge_base_sops', 'knowledge-base', 'sop_id', 'last_viewed_at'),
    ('event_storms', 'event-storm', 'storm_id', ''), ('spindles', 'spindle', 'spindle_id', '')
  LOOP
    EXECUTE format('CREATE TRIGGER node_before_update BEFORE UPDATE ON treadle.%I
      FOR EACH ROW EXECUTE FUNCTION treadle.node_before_update(%L, %L)', feature.column1, feature.column3, feature.column4);
    EXECUTE format('CREATE TRIGGER node_after_insert AFTER INSERT ON treadle.%I REFERENCING NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION treadle.node_after_insert(%L, %L)', feature.column1, feature.column2, feature.column3);
    EXECUTE format('CREATE TRIGGER node_after_update AFTER UPDATE ON treadle.%I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION treadle.node_after_update(%L, %L)', feature.column1, feature.column2, feature.column3);
    EXECUTE format('CREATE TRIGGER node_after_delete AFTER DELETE ON treadle.%I REFERENCING OLD TABLE AS old_rows
      FOR EACH STATEMENT EXECUTE FUNCTION treadle.node_after_delete(%L, %L)', feature.column1, feature.column2, feature.column3);
  END LOOP;
END
$$;

CREATE TRIGGER node_before_update BEFORE UPDATE ON treadle.node_links
  FOR EACH ROW EXECUTE FUNCTION treadle.node_before_update('link_id');
CREATE TRIGGER node_before_update BEFORE UPDATE ON treadle.ai_agents
  FOR EACH ROW EXECUTE FUNCTION treadle.node_before_update('agent_id', 'last_executed_at');

-- Both ends exist by their foreign keys; that neither is deleted has to hold until the link is there.
CREATE FUNCTION treadle.link_before_insert() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
  PERFORM FROM treadle.node_metadata
  WHERE workspace_id = NEW.workspace_id AND node_id = ''
    AND (feature_type, entity_id) IN ((NEW.source_feature, NEW.source_entity_id), (NEW.target_feature, NEW.target_entity_id))
    AND deleted_at IS NULL
  ORDER BY feature_type, entity_id FOR SHARE;
  IF EXISTS (SELECT FROM treadle.node_metadata
    WHERE workspace_id = NEW.workspace_id AND node_id = '' AND deleted_at IS NOT NULL
      AND (feature_type, entity_id) = (NEW.source_feature, NEW.source_entity_id))
  THEN
    RAISE EXCEPTION 'the source of the link is deleted' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'node_links_source_fkey',
      SCHEMA = 'treadle', TABLE = 'node_links';
  END IF;
  IF EXISTS (SELECT FROM treadle.node_metadata
    WHERE workspace_id = NEW.workspace_id AND node_id = '' AND deleted_at IS NOT NULL
      AND (feature_type, entity_id) = (NEW.target_feature, NEW.target_entity_id))
  THEN
    RAISE EXCEPTION 'the target of the link is deleted' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'node_links_target_fkey',
      SCHEMA = 'treadle', TABLE = 'node_links';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER link_before_insert BEFORE INSERT ON treadle.node_links
  FOR EACH ROW EXECUTE FUNCTION treadle.link_before_insert();

CREATE FUNCTION treadle.links_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET jit = off
AS $$
DECLARE
  said_actor text := nullif(current_setting('treadle.actor', true), '');
  said_summary text := nullif(current_setting('treadle.change_summary', true), '');
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO treadle.node_events (workspace_id, event_type, feature_type, entity_id, revision, data, actor, change_summary)
    SELECT workspace_id, 'link.removed', 'link', link_id, revision + 1, to_jsonb(link), said_actor, said_summary FROM old_rows AS link
    -- What goes with its workspace leaves nothing.
    WHERE EXISTS (SELECT FROM treadle.workspaces WHERE id = link.workspace_id);
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO treadle.node_events (workspace_id, event_type, feature_type, entity_id, revision, data, actor, change_summary)
    SELECT workspace_id, 'link.created', 'link', link_id, revision, to_jsonb(link), said_actor, said_summary FROM new_rows AS link;
  ELSE
    INSERT INTO treadle.node_events (workspace_id, event_type, feature_type, entity_id, revision, data, actor, change_summary)
    SELECT link.workspace_id, 'link.updated', 'link', link.link_id, link.revision, to_jsonb(link), said_actor, said_summary
    FROM new_rows AS link JOIN old_rows AS old USING (link_id) WHERE link.revision <> old.revision;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER links_inserted AFTER INSERT ON treadle.node_links
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.links_changed();
CREATE TRIGGER links_updated AFTER UPDATE ON treadle.node_links
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.links_changed();
CREATE TRIGGER links_deleted AFTER DELETE ON treadle.node_links
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.links_changed();

-- The history of nodes goes with their workspace.
CREATE FUNCTION treadle.workspaces_forget_nodes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  DELETE FROM treadle.node_events WHERE workspace_id IN (SELECT id FROM old_rows);
  RETURN NULL;
END
$$;
CREATE TRIGGER workspaces_forget_nodes AFTER DELETE ON treadle.workspaces
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.workspaces_forget_nodes();

-- Makes the rows of treadle.node_metadata of a workspace anew from the events, and answers how many there are then.
CREATE FUNCTION treadle.rebuild_nodes(workspace uuid) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog SET jit = off
AS $$
DECLARE
  feature text;
BEGIN
  -- Writers wait: what they add meanwhile would be taken away again.
  LOCK TABLE treadle.node_events IN SHARE ROW EXCLUSIVE MODE;
  FOREACH feature IN ARRAY '{function-model,knowledge-base,event-storm,spindle}'::text[] LOOP
    PERFORM treadle.index_nodes(feature, array_agg(state))
    FROM (
      SELECT treadle.jsonb_merge(data ORDER BY revision) AS state FROM treadle.node_events
      WHERE workspace_id = workspace AND feature_type = feature GROUP BY entity_id
    ) AS replayed HAVING count(*) > 0;
  END LOOP;
  DELETE FROM treadle.node_metadata AS known
  WHERE workspace_id = workspace AND NOT EXISTS (
    SELECT FROM treadle.node_events AS event WHERE event.feature_type = known.feature_type AND event.entity_id = known.entity_id);
  RETURN (SELECT count(*) FROM treadle.node_metadata WHERE workspace_id = workspace);
END
$$;

-- Down Migration
DROP TRIGGER workspaces_forget_nodes ON treadle.workspaces;
DROP TABLE treadle.executions, treadle.ai_agents, treadle.node_links, treadle.node_link_types, treadle.node_metadata,
  treadle.node_events, treadle.spindles, treadle.event_storms, treadle.knowledge_base_sops, treadle.function_models;
DROP FUNCTION treadle.rebuild_nodes(uuid), treadle.workspaces_forget_nodes(), treadle.links_changed(), treadle.link_before_insert(),
  treadle.node_after_delete(), treadle.node_after_update(), treadle.node_after_insert(), treadle.node_before_update(),
  treadle.index_nodes(text, jsonb[]), treadle.node_rows(text, jsonb), treadle.node_state(text, uuid, timestamptz),
  treadle.are_elements(jsonb);
DROP AGGREGATE treadle.jsonb_merge(jsonb);
