-- Up Migration

-- What is here is used where TREADLE_KV_BACKEND is postgres, treadle.lock_fences and the sequence everywhere.

-- Sessions by the SHA-256 of their ids, which are kept nowhere.
CREATE TABLE treadle.sessions (
  id_hash bytea PRIMARY KEY,
  user_id text COLLATE "C" NOT NULL,
  data jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  -- Written once a minute at most.
  last_accessed_at timestamptz NOT NULL,
  -- Moves on with the last access, up to ends_at.
  expires_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX sessions_user ON treadle.sessions (user_id);
CREATE INDEX sessions_expiry ON treadle.sessions (expires_at);

-- Documents that somebody is or was in. Who joins, leaves or is cleaned up locks the row, which orders the events.
CREATE TABLE treadle.presence_documents (
  document_id text COLLATE "C" PRIMARY KEY,
  -- Of the last event. Begins with the time in milliseconds, so that it is never lower than what was forgotten.
  sequence bigint NOT NULL,
  first_sequence bigint NOT NULL,
  changed_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE treadle.presence_users (
  document_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  joined_at timestamptz NOT NULL,
  -- Of the event: the order in which users are listed.
  joined_sequence bigint NOT NULL,
  PRIMARY KEY (document_id, user_id)
);
CREATE INDEX presence_users_order ON treadle.presence_users (document_id, joined_sequence);
CREATE INDEX presence_users_user ON treadle.presence_users (user_id);

-- Each user of a document has at least one.
CREATE TABLE treadle.presence_connections (
  document_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  socket_id text COLLATE "C" NOT NULL,
  joined_at timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  activity jsonb,
  PRIMARY KEY (document_id, user_id, socket_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX presence_connections_last_seen ON treadle.presence_connections (last_seen);

-- The last thousand of each document.
CREATE TABLE treadle.presence_events (
  document_id text COLLATE "C" NOT NULL,
  sequence bigint NOT NULL,
  type text NOT NULL CHECK (type IN ('joined', 'left')),
  user_id text NOT NULL,
  socket_id text NOT NULL,
  -- Of who left.
  reason text CHECK (reason IN ('removed', 'expired')),
  at timestamptz NOT NULL,
  PRIMARY KEY (document_id, sequence)
);

-- For a document whose row the caller has locked.
CREATE FUNCTION treadle.presence_event(p_document text, p_type text, p_user text, p_socket text, p_reason text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  number bigint;
BEGIN
  UPDATE treadle.presence_documents SET sequence = sequence + 1 WHERE document_id = p_document
    RETURNING sequence INTO STRICT number;
  INSERT INTO treadle.presence_events (document_id, sequence, type, user_id, socket_id, reason, at)
    VALUES (p_document, number, p_type, p_user, p_socket, p_reason, clock_timestamp());
  DELETE FROM treadle.presence_events WHERE document_id = p_document AND sequence <= number - 1000;
  PERFORM pg_notify('treadle_presence', p_document);
  RETURN number;
END
$$;

-- Takes the connections of a user past their time out of a locked document, and with p_all or p_socket others too. Answers
-- how many of those others there were.
CREATE FUNCTION treadle.presence_take_out(p_document text, p_user text, p_all boolean, p_socket text, p_ttl_ms double precision)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  cutoff timestamptz := clock_timestamp() - make_interval(secs => p_ttl_ms / 1000);
  taken integer;
  last_socket text;
BEGIN
  WITH gone AS (
    DELETE FROM treadle.presence_connections
    WHERE document_id = p_document AND user_id = p_user AND (last_seen <= cutoff OR p_all OR socket_id = p_socket)
    RETURNING socket_id, last_seen)
  SELECT count(*) FILTER (WHERE last_seen > cutoff), (array_agg(socket_id ORDER BY last_seen DESC, socket_id))[1]
    INTO taken, last_socket FROM gone;
  IF last_socket IS NOT NULL AND NOT EXISTS (
    SELECT FROM treadle.presence_connections WHERE document_id = p_document AND user_id = p_user)
  THEN
    DELETE FROM treadle.presence_users WHERE document_id = p_document AND user_id = p_user;
    PERFORM treadle.presence_event(p_document, 'left', p_user, last_socket, CASE WHEN taken > 0 THEN 'removed' ELSE 'expired' END);
  END IF;
  RETURN taken;
END
$$;

-- outcome: joined, present (the user was there already) or full (has p_most connections there, and this is none of them).
CREATE FUNCTION treadle.presence_join(
  p_document text, p_user text, p_socket text, p_activity jsonb, p_ttl_ms double precision, p_most integer)
RETURNS TABLE (outcome text, sequence bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
#variable_conflict use_column
DECLARE
  there integer;
  number bigint;
  moment timestamptz;
BEGIN
  number := floor(extract(epoch FROM clock_timestamp()) * 1000);
  INSERT INTO treadle.presence_documents (document_id, sequence, first_sequence, changed_at)
    VALUES (p_document, number, number + 1, clock_timestamp())
    ON CONFLICT (document_id) DO UPDATE SET changed_at = excluded.changed_at;
  PERFORM treadle.presence_take_out(p_document, p_user, false, NULL, p_ttl_ms);
  SELECT count(*) INTO there FROM treadle.presence_connections
    WHERE document_id = p_document AND user_id = p_user AND socket_id <> p_socket;
  IF there >= p_most THEN
    RETURN QUERY SELECT 'full', sequence FROM treadle.presence_documents WHERE document_id = p_document;
    RETURN;
  END IF;
  moment := clock_timestamp();
  INSERT INTO treadle.presence_connections AS known (document_id, user_id, socket_id, joined_at, last_seen, activity)
    VALUES (p_document, p_user, p_socket, moment, moment, p_activity)
    ON CONFLICT (document_id, user_id, socket_id)
    DO UPDATE SET last_seen = excluded.last_seen, activity = coalesce(excluded.activity, known.activity);
  IF EXISTS (SELECT FROM treadle.presence_users WHERE document_id = p_document AND user_id = p_user) THEN
    RETURN QUERY SELECT 'present', sequence FROM treadle.presence_documents WHERE document_id = p_document;
    RETURN;
  END IF;
  number := treadle.presence_event(p_document, 'joined', p_user, p_socket, NULL);
  INSERT INTO treadle.presence_users (document_id, user_id, joined_at, joined_sequence)
    VALUES (p_document, p_user, moment, number);
  RETURN QUERY SELECT 'joined', number;
END
$$;

-- Without p_socket all connections of the user. Answers how many there were.
CREATE FUNCTION treadle.presence_leave(p_document text, p_user text, p_socket text, p_ttl_ms double precision)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
  UPDATE treadle.presence_documents SET changed_at = clock_timestamp() WHERE document_id = p_document;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  RETURN treadle.presence_take_out(p_document, p_user, p_socket IS NULL, p_socket, p_ttl_ms);
END
$$;

-- Takes out up to p_limit connections past their time, the oldest first.
CREATE FUNCTION treadle.presence_clean(p_ttl_ms double precision, p_limit integer)
RETURNS TABLE (connections integer, users integer)
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  cutoff timestamptz := clock_timestamp() - make_interval(secs => p_ttl_ms / 1000);
  documents text[];
  gone_documents text[];
  gone_users text[];
  gone_sockets text[];
BEGIN
  documents := ARRAY(SELECT DISTINCT due.document_id FROM (
    SELECT document_id FROM treadle.presence_connections WHERE last_seen <= cutoff ORDER BY last_seen LIMIT p_limit) AS due);
  -- In one order, so that those who clean do not wait for each other in a circle.
  PERFORM FROM treadle.presence_documents WHERE document_id = ANY (documents) ORDER BY document_id FOR NO KEY UPDATE;
  WITH due AS (
    SELECT document_id, user_id, socket_id FROM treadle.presence_connections
    WHERE last_seen <= cutoff AND document_id = ANY (documents) ORDER BY last_seen LIMIT p_limit
  ), gone AS (
    DELETE FROM treadle.presence_connections AS connection USING due
    WHERE connection.document_id = due.document_id AND connection.user_id = due.user_id
      AND connection.socket_id = due.socket_id AND connection.last_seen <= cutoff
    RETURNING connection.document_id, connection.user_id, connection.socket_id)
  SELECT count(*), array_agg(document_id), array_agg(user_id), array_agg(socket_id)
    INTO connections, gone_documents, gone_users, gone_sockets FROM gone;
  WITH gone AS (
    SELECT given.document_id, given.user_id, max(given.socket_id) AS socket_id
    FROM unnest(gone_documents, gone_users, gone_sockets) AS given (document_id, user_id, socket_id)
    GROUP BY 1, 2
  ), departed AS (
    DELETE FROM treadle.presence_users AS known USING gone
    WHERE known.document_id = gone.document_id AND known.user_id = gone.user_id AND NOT EXISTS (
      SELECT FROM treadle.presence_connections AS left_over
      WHERE left_over.document_id = gone.document_id AND left_over.user_id = gone.user_id)
    RETURNING gone.document_id, gone.user_id, gone.socket_id
  ), numbered AS (
    SELECT departed.*, row_number() OVER (PARTITION BY document_id ORDER BY user_id) AS number FROM departed
  ), counted AS (
    UPDATE treadle.presence_documents AS document
    SET sequence = document.sequence + totals.total, changed_at = clock_timestamp()
    FROM (SELECT document_id, count(*) AS total FROM numbered GROUP BY 1) AS totals
    WHERE document.document_id = totals.document_id
    RETURNING document.document_id, document.sequence - totals.total AS before
  ), written AS (
    INSERT INTO treadle.presence_events (document_id, sequence, type, user_id, socket_id, reason, at)
    SELECT numbered.document_id, counted.before + numbered.number, 'left', numbered.user_id, numbered.socket_id, 'expired', clock_timestamp()
    FROM numbered JOIN counted USING (document_id)
    RETURNING 1)
  SELECT count(*) INTO users FROM written;
  DELETE FROM treadle.presence_events AS event USING treadle.presence_documents AS document
    WHERE document.document_id = ANY (documents) AND event.document_id = document.document_id
      AND event.sequence <= document.sequence - 1000;
  PERFORM pg_notify('treadle_presence', document) FROM unnest(documents) AS document;
  RETURN NEXT;
END
$$;

-- Who holds what. A released lock stays for a day, so that its fencing token is drawn from a row that is there.
CREATE TABLE treadle.locks (
  resource text COLLATE "C" PRIMARY KEY,
  -- A secret of whoever holds it; null when released.
  owner text,
  fence bigint NOT NULL,
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE SEQUENCE treadle.fencing_tokens;

-- The fencing token of the last holder of each resource, wherever the lock lies: writes of those before are refused.
CREATE TABLE treadle.lock_fences (
  resource text COLLATE "C" PRIMARY KEY,
  fence bigint NOT NULL,
  raised_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Down Migration
DROP TABLE treadle.lock_fences, treadle.locks;
DROP SEQUENCE treadle.fencing_tokens;
DROP FUNCTION treadle.presence_clean(double precision, integer), treadle.presence_leave(text, text, text, double precision),
  treadle.presence_join(text, text, text, jsonb, double precision, integer),
  treadle.presence_take_out(text, text, boolean, text, double precision),
  treadle.presence_event(text, text, text, text, text);
DROP TABLE treadle.presence_events, treadle.presence_connections, treadle.presence_users, treadle.presence_documents;
DROP TABLE treadle.sessions;
