-- Up Migration

-- Searches as they were asked, kept for a time (`searches` of TREADLE_RETENTION): what clicks are noted on, and what people
-- look through. Written in batches after the searches were answered.
CREATE TABLE treadle.searches (
  search_id uuid PRIMARY KEY,
  workspace_id uuid NOT NULL REFERENCES treadle.workspaces (id) ON DELETE CASCADE,
  -- In the time zone that the workspace had then.
  day date NOT NULL,
  -- The actor.
  user_id text NOT NULL,
  query text NOT NULL,
  -- Composed, in lower case and single spaces: what queries are counted by.
  normalized_query text NOT NULL,
  mode text NOT NULL,
  filters jsonb NOT NULL,
  result_count integer NOT NULL CHECK (result_count >= 0),
  response_time_ms integer NOT NULL CHECK (response_time_ms >= 0),
  backend text NOT NULL,
  degraded boolean NOT NULL,
  -- [{ documentId, position, clickedAt }], each document once, in the order of their clicks.
  clicked_results jsonb NOT NULL DEFAULT '[]',
  searched_at timestamptz NOT NULL
);
CREATE INDEX searches_time ON treadle.searches (searched_at);
CREATE INDEX searches_workspace ON treadle.searches (workspace_id, searched_at);

-- The searches of a workspace and day, counted. A day is closed when its tail of rare queries was dropped.
CREATE TABLE treadle.search_days (
  workspace_id uuid NOT NULL REFERENCES treadle.workspaces (id) ON DELETE CASCADE,
  day date NOT NULL,
  searches integer NOT NULL,
  without_results integer NOT NULL,
  degraded integer NOT NULL,
  clicks integer NOT NULL DEFAULT 0,
  -- Searches with a click.
  clicked_searches integer NOT NULL DEFAULT 0,
  response_time_ms bigint NOT NULL,
  -- Searches by response time, in buckets.
  response_times integer[] NOT NULL,
  closed boolean NOT NULL DEFAULT false,
  PRIMARY KEY (workspace_id, day)
) WITH (fillfactor = 50);
CREATE INDEX search_days_day ON treadle.search_days (day);
CREATE INDEX search_days_open ON treadle.search_days (day) WHERE NOT closed;

-- What was searched for in a workspace on a day: the most frequent queries, and the most frequent without a result.
CREATE TABLE treadle.search_queries (
  workspace_id uuid NOT NULL REFERENCES treadle.workspaces (id) ON DELETE CASCADE,
  day date NOT NULL,
  -- Normalized.
  query text COLLATE "C" NOT NULL,
  searches integer NOT NULL,
  without_results integer NOT NULL,
  last_at timestamptz NOT NULL,
  PRIMARY KEY (workspace_id, day, query)
) WITH (fillfactor = 70);
CREATE INDEX search_queries_day ON treadle.search_queries (day);

-- Down Migration
DROP TABLE treadle.search_queries, treadle.search_days, treadle.searches;
