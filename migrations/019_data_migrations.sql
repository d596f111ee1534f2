-- Up Migration

-- How far each data migration is. Whoever runs a batch of one holds its row, so that each batch is run once.
CREATE TABLE treadle.data_migrations (
  name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
  state text NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'running', 'completed', 'validated', 'failed', 'undoing', 'undone')),
  -- Where the next batch begins; NULL before the first.
  cursor jsonb,
  -- Rows changed so far, less those put back.
  changed bigint NOT NULL DEFAULT 0 CHECK (changed >= 0),
  -- Of the last run, if it failed.
  error text,
  started_at timestamptz,
  -- When the last batch was done, up or down.
  finished_at timestamptz
);

-- What data migrations have changed, so that taking one back undoes this and nothing else.
CREATE TABLE treadle.data_migration_changes (
  name text NOT NULL REFERENCES treadle.data_migrations (name),
  key text NOT NULL,
  before jsonb,
  after jsonb,
  PRIMARY KEY (name, key)
);

-- Down Migration

DROP TABLE treadle.data_migration_changes;
DROP TABLE treadle.data_migrations;
