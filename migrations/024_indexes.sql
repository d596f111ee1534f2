-- Up Migration

-- Lists of nodes are read from treadle.node_metadata. What these tables are asked for is the rows of a workspace that goes,
-- deleted ones too.
CREATE INDEX function_models_workspace ON treadle.function_models (workspace_id);
CREATE INDEX knowledge_base_sops_workspace ON treadle.knowledge_base_sops (workspace_id);
CREATE INDEX event_storms_workspace ON treadle.event_storms (workspace_id);
CREATE INDEX spindles_workspace ON treadle.spindles (workspace_id);
DROP INDEX treadle.function_models_latest, treadle.knowledge_base_sops_latest, treadle.event_storms_latest, treadle.spindles_latest;

-- What it costs to read a document's words, so that nobody does so for each row where an index has them.
ALTER FUNCTION treadle.search_vector(text, text, text) COST 10000;

-- Down Migration

ALTER FUNCTION treadle.search_vector(text, text, text) COST 100;
CREATE INDEX function_models_latest ON treadle.function_models (workspace_id, updated_at DESC, model_id DESC) WHERE deleted_at IS NULL;
CREATE INDEX knowledge_base_sops_latest ON treadle.knowledge_base_sops (workspace_id, updated_at DESC, sop_id DESC) WHERE deleted_at IS NULL;
CREATE INDEX event_storms_latest ON treadle.event_storms (workspace_id, updated_at DESC, storm_id DESC) WHERE deleted_at IS NULL;
CREATE INDEX spindles_latest ON treadle.spindles (workspace_id, updated_at DESC, spindle_id DESC) WHERE deleted_at IS NULL;
DROP INDEX treadle.function_models_workspace, treadle.knowledge_base_sops_workspace, treadle.event_storms_workspace, treadle.spindles_workspace;
