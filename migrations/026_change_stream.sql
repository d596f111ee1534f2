-- Up Migration

-- How far each follower of the change stream has come. The slot is confirmed up to the least of them, after they are stored.
CREATE TABLE treadle.change_sinks (
  name text PRIMARY KEY CONSTRAINT change_sinks_name_length CHECK (length(name) BETWEEN 1 AND 200),
  position pg_lsn NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What a sink that does not take anything for the moment has yet to take, so that the stream goes on without it.
CREATE TABLE treadle.change_backlog (
  sink text NOT NULL,
  kind text NOT NULL,
  workspace_id text NOT NULL,
  -- Empty for the whole kind, of which a table was truncated.
  entity_id text NOT NULL,
  -- Grows with every mark, so that a change during the work on an older one is not lost.
  mark bigint GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (sink, kind, workspace_id, entity_id)
);
CREATE INDEX change_backlog_order ON treadle.change_backlog (sink, mark);

-- What the stream tells of. Each table has an identity that holds its workspace.
CREATE PUBLICATION treadle FOR TABLE treadle.knowledge, treadle.knowledge_tags, treadle.tags, treadle.collections, treadle.users;

-- Down Migration

DROP PUBLICATION treadle;
DROP TABLE treadle.change_backlog, treadle.change_sinks;
