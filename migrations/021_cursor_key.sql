-- Up Migration

-- What Treadle's processes share and nobody else may know. `cursors` signs the cursors of lists: put another in its place
-- and, once the processes have been started anew, every cursor handed out before is refused.
CREATE TABLE treadle.secrets (
  name text PRIMARY KEY,
  secret bytea NOT NULL CHECK (length(secret) >= 32)
);

-- 488 random bits; core functions only, as a server may be without pgcrypto.
INSERT INTO treadle.secrets (name, secret) VALUES ('cursors', sha256(
  uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- Down Migration

DROP TABLE treadle.secrets;
