-- Up Migration

-- Keys of the HTTP API. Only the SHA-256 of a secret is kept: it has 256 random bits, so a slow hash would add nothing.
CREATE TABLE treadle.api_keys (
  id uuid PRIMARY KEY DEFAULT treadle.uuid_v7(),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  prefix text NOT NULL CHECK (length(prefix) = 12),
  secret_hash bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
  scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
  workspace_id uuid REFERENCES treadle.workspaces (id) ON DELETE CASCADE,
  user_id uuid REFERENCES treadle.users (id) ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  revoked_at timestamptz
);
CREATE UNIQUE INDEX api_keys_name ON treadle.api_keys (name) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_prefix ON treadle.api_keys (prefix) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_workspace ON treadle.api_keys (workspace_id) WHERE workspace_id IS NOT NULL;
CREATE INDEX api_keys_user ON treadle.api_keys (user_id) WHERE user_id IS NOT NULL;

-- Browsers that gave a key and hold a cookie for it. The key is named by its hash, whether it is a row above or comes
-- from the configuration; it is looked up again at every request, so revoking a key ends its logins.
CREATE TABLE treadle.browser_logins (
  token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
  secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX browser_logins_expires ON treadle.browser_logins (expires_at);

-- Down Migration
DROP TABLE treadle.browser_logins, treadle.api_keys;
