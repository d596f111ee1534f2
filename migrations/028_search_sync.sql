-- Up Migration

-- What the positions of the change stream are of; see src/changes/change-epoch.ts.
CREATE TABLE treadle.change_epoch (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch integer NOT NULL CHECK (epoch BETWEEN 1 AND 8191),
  system text NOT NULL,
  timeline integer NOT NULL,
  -- Where the log ended when somebody last began to stream.
  lsn pg_lsn NOT NULL
);

-- What whoever streams says of it: for health, metrics and those who wait for a position.
CREATE TABLE treadle.change_stream (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  process_id text NOT NULL,
  slot text NOT NULL,
  state text NOT NULL CHECK (state IN ('starting', 'streaming', 'unavailable')),
  -- Why it is not possible, with the statement that would make it so.
  problem text,
  -- From a commit to its arrival, as last measured.
  lag_ms float8,
  told_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE treadle.change_sinks ADD COLUMN state text;
ALTER TABLE treadle.change_sinks ADD COLUMN waiting integer;
-- The last time that everything known was taken.
ALTER TABLE treadle.change_sinks ADD COLUMN current_at timestamptz;
ALTER TABLE treadle.change_sinks ADD COLUMN error text;
-- A table that it watches was in no publication for a while: set with the statement that published it, until the sink has started over.
ALTER TABLE treadle.change_sinks ADD COLUMN lacks_changes boolean NOT NULL DEFAULT false;

-- The indexes of Elasticsearch, as they are known here: one a definition.
CREATE TABLE treadle.search_indexes (
  name text PRIMARY KEY CONSTRAINT search_indexes_name_form CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,99}$'),
  -- Which index is written and searched; NULL while there is none that has everything.
  live text,
  -- Which one is made beside it, from which moment on, and up to which document it has all of them.
  building text,
  building_since timestamptz,
  building_cursor jsonb,
  backfill_cursor jsonb,
  -- Why the live index may lack changes and is not searched; NULL: it lacks none.
  suspect text,
  suspect_at timestamptz,
  -- Why it is, or was last, made anew.
  reason text,
  rebuilt_at timestamptz,
  verified_at timestamptz,
  -- Found by the last verification that came to its end.
  differences integer,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Documents are read again by their keys: nothing else of their rows has to travel. Embeddings follow their documents later.
ALTER PUBLICATION treadle SET TABLE
  treadle.knowledge (workspace_id, id), treadle.knowledge_tags, treadle.tags (workspace_id, id), treadle.users (id),
  treadle.embedded_entities (workspace_id, entity_type, entity_id, model);

-- Down Migration

ALTER PUBLICATION treadle SET TABLE treadle.knowledge, treadle.knowledge_tags, treadle.tags, treadle.collections, treadle.users;
DROP TABLE treadle.search_indexes, treadle.change_stream, treadle.change_epoch;
ALTER TABLE treadle.change_sinks DROP COLUMN lacks_changes;
ALTER TABLE treadle.change_sinks DROP COLUMN error;
ALTER TABLE treadle.change_sinks DROP COLUMN current_at;
ALTER TABLE treadle.change_sinks DROP COLUMN waiting;
ALTER TABLE treadle.change_sinks DROP COLUMN state;
