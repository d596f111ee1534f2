-- Up Migration

-- pg_trgm (spelling mistakes, suggestions) and unaccent are trusted extensions: the owner of the database may create them.
-- Where that fails search works without: see treadle.search_capabilities().
DO $extensions$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['pg_trgm', 'unaccent'] LOOP
    CONTINUE WHEN EXISTS (SELECT 1 FROM pg_extension WHERE extname = wanted);
    BEGIN
      EXECUTE format('CREATE EXTENSION %I SCHEMA public', wanted);
    EXCEPTION WHEN OTHERS THEN
      RAISE NOTICE 'search does without the extension % (%)', wanted, SQLERRM;
    END;
  END LOOP;
END
$extensions$;

-- Which extensions search can use here: {"trigrams": …, "unaccent": …}. Fixed when this migration runs.
CREATE FUNCTION treadle.search_capabilities() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT '{"trigrams": false, "unaccent": false}'::jsonb $$;

-- Text without accents. This form needs no extension and knows only what Unicode decomposes (é, not ø).
CREATE FUNCTION treadle.without_accents(text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
AS $$
  SELECT CASE WHEN $1 ~ '^[\u0001-\u007f]*$' THEN $1
    ELSE regexp_replace(normalize($1, NFKD), '[\u0300-\u036f]', '', 'g') END
$$;

-- Text as words with spaces between: no accents, no punctuation, and characters of scripts written without spaces, as
-- well as pictographs, standing alone. Postgres' own parser would take a path, a host or a name with a curly quote for
-- one word; whoever compiles a query cuts it at the same characters.
CREATE FUNCTION treadle.search_text(text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog
AS $$
DECLARE
  words text := regexp_replace(treadle.without_accents($1),
    '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u20cf\u2190-\u25ff\u27c0-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\ufe10-\ufe6f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufff0-\uffff]+',
    ' ', 'g');
BEGIN
  IF words ~ '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3005-\u3007\u3021-\u302f\u3031-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001f000-\U0001faff\U00020000-\U0003ffff]' THEN
    words := regexp_replace(words,
      '([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3005-\u3007\u3021-\u302f\u3031-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001f000-\U0001faff\U00020000-\U0003ffff])',
      ' \1 ', 'g');
  END IF;
  RETURN words;
END
$$;

-- The words of a text, in lower case and single spaces: what titles and tags are compared by.
CREATE FUNCTION treadle.search_key(text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
AS $$ SELECT lower(btrim(regexp_replace(treadle.search_text($1), '\s+', ' ', 'g'))) $$;

-- Title A, excerpt B, content C. A tsvector holds at most 1 MB: of a content that does not fit, as much as does.
CREATE FUNCTION treadle.search_vector(title text, excerpt text, content text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog SET client_min_messages = warning
AS $$
DECLARE
  head tsvector := setweight(to_tsvector('pg_catalog.english', treadle.search_text(title)), 'A')
    || setweight(to_tsvector('pg_catalog.english', treadle.search_text(excerpt)), 'B');
  indexed integer := 1000000;
BEGIN
  WHILE indexed > 1000 LOOP
    BEGIN
      RETURN head || setweight(to_tsvector('pg_catalog.english', treadle.search_text(left(content, indexed))), 'C');
    EXCEPTION WHEN program_limit_exceeded THEN
      indexed := indexed / 2;
    END;
  END LOOP;
  RETURN head;
END
$$;

-- Tags, weight D.
CREATE FUNCTION treadle.tags_vector(tags text[]) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT setweight(to_tsvector('pg_catalog.english', treadle.search_text(array_to_string(tags, ' '))), 'D') $$;

-- What is searched of each document, with everything that is filtered, counted and sorted by: one row a document of
-- treadle.knowledge, kept by the triggers below.
CREATE TABLE treadle.search_documents (
  document_id uuid PRIMARY KEY,
  workspace_id uuid NOT NULL,
  status text NOT NULL,
  author_id uuid,
  collection_id uuid,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  created_month date NOT NULL GENERATED ALWAYS AS (date_trunc('month', created_at AT TIME ZONE 'UTC')::date) STORED,
  title text NOT NULL,
  title_key text NOT NULL,
  tags text[] NOT NULL,
  -- The words of title and tags, a space before each: for spelling mistakes and suggestions.
  names text NOT NULL,
  vector tsvector NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX search_documents_vector ON treadle.search_documents USING gin (vector);
CREATE INDEX search_documents_tags ON treadle.search_documents USING gin (tags);
CREATE INDEX search_documents_latest ON treadle.search_documents (workspace_id, updated_at DESC, document_id DESC);

-- Documents whose row above could not be written; see treadle.repair_search_documents().
CREATE TABLE treadle.search_repairs (
  document_id uuid NOT NULL,
  reason text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX search_repairs_document ON treadle.search_repairs (document_id);

-- The names of a document's tags, in alphabetical order.
CREATE FUNCTION treadle.tags_of(workspace uuid, document uuid) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
  SELECT coalesce(array_agg(t.name ORDER BY t.name), '{}')
  FROM treadle.knowledge_tags AS kt JOIN treadle.tags AS t ON t.workspace_id = kt.workspace_id AND t.id = kt.tag_id
  WHERE kt.workspace_id = workspace AND kt.knowledge_id = document
$$;

-- Writes the rows of these documents anew; of documents that are gone it removes them. The rows are locked first, in a
-- statement of its own: what is read afterwards includes what the transaction that held them has written.
CREATE FUNCTION treadle.index_documents(ids uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
  PERFORM 1 FROM treadle.search_documents AS s WHERE s.document_id = ANY (ids) ORDER BY s.document_id FOR UPDATE;
  DELETE FROM treadle.search_documents AS s
    WHERE s.document_id = ANY (ids) AND NOT EXISTS (SELECT 1 FROM treadle.knowledge AS k WHERE k.id = s.document_id);
  INSERT INTO treadle.search_documents AS s (document_id, workspace_id, status, author_id, collection_id, created_at,
    updated_at, title, title_key, tags, names, vector)
  SELECT k.id, k.workspace_id, k.status, k.author_id, k.collection_id, k.created_at, k.updated_at, k.title, key.title,
    tag.names, ' ' || concat_ws(' ', key.title, treadle.search_key(array_to_string(tag.names, ' '))),
    treadle.search_vector(k.title, k.excerpt, k.content) || treadle.tags_vector(tag.names)
  FROM treadle.knowledge AS k,
    LATERAL (SELECT treadle.tags_of(k.workspace_id, k.id) AS names) AS tag,
    LATERAL (SELECT treadle.search_key(k.title) AS title) AS key
  WHERE k.id = ANY (ids)
  ORDER BY k.id
  ON CONFLICT (document_id) DO UPDATE SET
    status = excluded.status, author_id = excluded.author_id, collection_id = excluded.collection_id,
    created_at = excluded.created_at, updated_at = excluded.updated_at, title = excluded.title,
    title_key = excluded.title_key, tags = excluded.tags, names = excluded.names, vector = excluded.vector;
END
$$;

-- The same for their tags alone: the text is not parsed again.
CREATE FUNCTION treadle.index_document_tags(ids uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
  PERFORM 1 FROM treadle.search_documents AS s WHERE s.document_id = ANY (ids) ORDER BY s.document_id FOR UPDATE;
  WITH current AS MATERIALIZED (
    SELECT s.document_id, treadle.tags_of(s.workspace_id, s.document_id) AS tags
    FROM treadle.search_documents AS s WHERE s.document_id = ANY (ids)
  )
  UPDATE treadle.search_documents AS s SET
    tags = c.tags,
    names = ' ' || concat_ws(' ', s.title_key, treadle.search_key(array_to_string(c.tags, ' '))),
    vector = ts_filter(s.vector, '{a,b,c}') || treadle.tags_vector(c.tags)
  FROM current AS c
  WHERE s.document_id = c.document_id AND s.tags <> c.tags;
END
$$;

-- Runs one of the two functions above for a writer whose own change must not fail: what can't be indexed is tried one by
-- one, and what still can't is noted down and left as it was.
CREATE FUNCTION treadle.index_for_writer(ids uuid[], tags_only boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  one uuid;
BEGIN
  IF coalesce(cardinality(ids), 0) = 0 THEN
    RETURN;
  END IF;
  BEGIN
    IF tags_only THEN
      PERFORM treadle.index_document_tags(ids);
    ELSE
      PERFORM treadle.index_documents(ids);
    END IF;
    RETURN;
  EXCEPTION WHEN OTHERS THEN
    RAISE DEBUG 'indexing % documents at once failed (%)', cardinality(ids), SQLERRM;
  END;
  FOREACH one IN ARRAY ids LOOP
    BEGIN
      PERFORM treadle.index_documents(ARRAY[one]);
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'document % could not be indexed (%)', one, SQLSTATE;
      INSERT INTO treadle.search_repairs (document_id, reason) VALUES (one, SQLSTATE);
    END;
  END LOOP;
END
$$;

-- Indexes again up to `most` documents that could not be indexed when they were written; answers how many were.
CREATE FUNCTION treadle.repair_search_documents(most integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  one uuid;
  repaired integer := 0;
BEGIN
  FOR one IN SELECT DISTINCT document_id FROM treadle.search_repairs LIMIT most LOOP
    BEGIN
      -- Held, so that it is not deleted under the row that is made for it.
      PERFORM 1 FROM treadle.knowledge WHERE id = one FOR KEY SHARE;
      PERFORM treadle.index_documents(ARRAY[one]);
      DELETE FROM treadle.search_repairs WHERE document_id = one;
      repaired := repaired + 1;
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'document % still could not be indexed (%)', one, SQLSTATE;
    END;
  END LOOP;
  RETURN repaired;
END
$$;

CREATE FUNCTION treadle.search_knowledge_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  PERFORM treadle.index_for_writer(ARRAY(SELECT id FROM new_rows), false);
  RETURN NULL;
END
$$;
CREATE TRIGGER search_inserted AFTER INSERT ON treadle.knowledge
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.search_knowledge_inserted();

CREATE FUNCTION treadle.search_knowledge_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET enable_nestloop = off
AS $$
DECLARE
  rewritten uuid[];
BEGIN
  SELECT array_agg(n.id) INTO rewritten FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
    WHERE n.title <> o.title OR n.excerpt <> o.excerpt OR n.content <> o.content
      OR NOT EXISTS (SELECT 1 FROM treadle.search_documents AS s WHERE s.document_id = n.id);
  UPDATE treadle.search_documents AS s SET status = n.status, author_id = n.author_id, collection_id = n.collection_id,
      created_at = n.created_at, updated_at = n.updated_at
    FROM new_rows AS n
    WHERE s.document_id = n.id AND n.id <> ALL (coalesce(rewritten, '{}'))
      AND (s.status, s.author_id, s.collection_id, s.created_at, s.updated_at)
        IS DISTINCT FROM (n.status, n.author_id, n.collection_id, n.created_at, n.updated_at);
  PERFORM treadle.index_for_writer(rewritten, false);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  PERFORM treadle.index_for_writer(ARRAY(SELECT id FROM new_rows), false);
  RETURN NULL;
END
$$;
CREATE TRIGGER search_updated AFTER UPDATE ON treadle.knowledge
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.search_knowledge_updated();

CREATE FUNCTION treadle.search_knowledge_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM treadle.search_documents;
  ELSE
    DELETE FROM treadle.search_documents WHERE document_id = ANY (ARRAY(SELECT id FROM old_rows));
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO treadle.search_repairs (document_id, reason) SELECT id, SQLSTATE FROM old_rows;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER search_deleted AFTER DELETE ON treadle.knowledge
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.search_knowledge_deleted();
CREATE TRIGGER search_truncated AFTER TRUNCATE ON treadle.knowledge
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.search_knowledge_deleted();

CREATE FUNCTION treadle.search_tagging_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  PERFORM treadle.index_for_writer(ARRAY(SELECT DISTINCT knowledge_id FROM changed_rows), true);
  RETURN NULL;
END
$$;
CREATE TRIGGER search_tagged AFTER INSERT ON treadle.knowledge_tags
  REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.search_tagging_changed();
CREATE TRIGGER search_untagged AFTER DELETE ON treadle.knowledge_tags
  REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION treadle.search_tagging_changed();

CREATE FUNCTION treadle.search_retagged() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  PERFORM treadle.index_for_writer(
    ARRAY(SELECT knowledge_id FROM old_rows UNION SELECT knowledge_id FROM new_rows), true);
  RETURN NULL;
END
$$;
CREATE TRIGGER search_retagged AFTER UPDATE ON treadle.knowledge_tags
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.search_retagged();

CREATE FUNCTION treadle.search_tag_renamed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
DECLARE
  renamed uuid[] := ARRAY(SELECT n.id FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id WHERE o.name <> n.name);
BEGIN
  IF cardinality(renamed) > 0 THEN
    PERFORM treadle.index_for_writer(ARRAY(
      SELECT DISTINCT kt.knowledge_id FROM treadle.tags AS t
        JOIN treadle.knowledge_tags AS kt ON kt.workspace_id = t.workspace_id AND kt.tag_id = t.id
      WHERE t.id = ANY (renamed)), true);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER search_tag_renamed AFTER UPDATE ON treadle.tags
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.search_tag_renamed();

-- Words of the workspace's titles and tags that are spelt much like `term`, the most alike first. Without pg_trgm: none.
CREATE FUNCTION treadle.similar_words(workspace uuid, term text, most integer) RETURNS SETOF text
LANGUAGE sql STABLE
AS $$ SELECT NULL::text WHERE false $$;

-- Titles of the workspace for what has been typed so far: those that begin with it, then those with a word that does,
-- then (with pg_trgm) those spelt like it; the latest first.
CREATE FUNCTION treadle.suggest_titles(workspace uuid, typed text, most integer) RETURNS TABLE (document_id uuid, title text)
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
  SELECT s.document_id, s.title
  FROM treadle.search_documents AS s, (SELECT regexp_replace(typed, '([\\%_])', '\\\1', 'g') AS escaped) AS pattern
  WHERE s.workspace_id = workspace AND ' ' || s.title_key LIKE '% ' || pattern.escaped || '%'
  ORDER BY s.title_key NOT LIKE pattern.escaped || '%', s.updated_at DESC, s.document_id
  LIMIT most
$$;

-- The same for tags that documents carry; those of most documents first.
CREATE FUNCTION treadle.suggest_tags(workspace uuid, typed text, most integer) RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
  SELECT t.name
  FROM treadle.tags AS t,
    (SELECT regexp_replace(typed, '([\\%_])', '\\\1', 'g') AS escaped) AS pattern,
    LATERAL (SELECT treadle.search_key(t.name) AS name) AS key,
    LATERAL (SELECT count(*) AS documents FROM treadle.knowledge_tags AS kt
      WHERE kt.workspace_id = t.workspace_id AND kt.tag_id = t.id) AS used
  WHERE t.workspace_id = workspace AND used.documents > 0 AND ' ' || key.name LIKE '% ' || pattern.escaped || '%'
  ORDER BY key.name NOT LIKE pattern.escaped || '%', used.documents DESC, t.name
  LIMIT most
$$;

DO $unaccent$
DECLARE
  home text := (SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'unaccent');
BEGIN
  IF home IS NULL THEN
    RETURN;
  END IF;
  -- With the dictionary named, unaccent's result depends on nothing but its rules.
  EXECUTE replace($sql$
    CREATE OR REPLACE FUNCTION treadle.without_accents(text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    AS $$
      SELECT CASE WHEN $1 ~ '^[\u0001-\u007f]*$' THEN $1
        ELSE @home.unaccent('@home.unaccent'::regdictionary, regexp_replace(normalize($1, NFKD), '[\u0300-\u036f]', '', 'g')) END
    $$
  $sql$, '@home', home);
END
$unaccent$;

DO $trigrams$
DECLARE
  home text := (SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_trgm');
BEGIN
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION treadle.search_capabilities() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT %L::jsonb $$
  $sql$, jsonb_build_object('trigrams', home IS NOT NULL,
    'unaccent', EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'unaccent')));
  IF home IS NULL THEN
    RETURN;
  END IF;

  EXECUTE replace('CREATE INDEX search_documents_names ON treadle.search_documents USING gin (names @home.gin_trgm_ops)',
    '@home', home);

  EXECUTE replace($sql$
    CREATE OR REPLACE FUNCTION treadle.similar_words(workspace uuid, term text, most integer) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog SET pg_trgm.word_similarity_threshold = '0.3'
    AS $$
      WITH near AS MATERIALIZED (
        SELECT s.names FROM treadle.search_documents AS s
        WHERE s.workspace_id = workspace AND s.names OPERATOR(@home.%>) term
        ORDER BY @home.word_similarity(term, s.names) DESC, s.document_id
        LIMIT 300
      )
      SELECT word FROM near, regexp_split_to_table(near.names, ' ') AS word
      WHERE word <> '' AND abs(length(word) - length(term)) <= 2
      GROUP BY word
      ORDER BY @home.similarity(word, term) DESC, count(*) DESC, word
      LIMIT most
    $$
  $sql$, '@home', home);

  EXECUTE replace($sql$
    CREATE OR REPLACE FUNCTION treadle.suggest_titles(workspace uuid, typed text, most integer)
    RETURNS TABLE (document_id uuid, title text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog SET pg_trgm.word_similarity_threshold = '0.4'
    AS $$
    #variable_conflict use_column
    DECLARE
      escaped text := regexp_replace(typed, '([\\%_])', '\\\1', 'g');
      found integer;
    BEGIN
      RETURN QUERY
        SELECT s.document_id, s.title FROM treadle.search_documents AS s
        WHERE s.workspace_id = workspace AND s.names LIKE '% ' || escaped || '%'
          AND ' ' || s.title_key LIKE '% ' || escaped || '%'
        ORDER BY s.title_key NOT LIKE escaped || '%', s.updated_at DESC, s.document_id
        LIMIT most;
      GET DIAGNOSTICS found = ROW_COUNT;
      IF found < most AND length(typed) > 2 THEN
        RETURN QUERY
          SELECT s.document_id, s.title FROM treadle.search_documents AS s
          WHERE s.workspace_id = workspace AND s.names OPERATOR(@home.%>) typed
            AND @home.word_similarity(typed, s.title_key) >= 0.4
            AND ' ' || s.title_key NOT LIKE '% ' || escaped || '%'
          ORDER BY @home.word_similarity(typed, s.title_key) DESC, s.updated_at DESC, s.document_id
          LIMIT most - found;
      END IF;
    END
    $$
  $sql$, '@home', home);

  EXECUTE replace($sql$
    CREATE OR REPLACE FUNCTION treadle.suggest_tags(workspace uuid, typed text, most integer) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog
    AS $$
      SELECT t.name
      FROM treadle.tags AS t,
        (SELECT regexp_replace(typed, '([\\%_])', '\\\1', 'g') AS escaped) AS pattern,
        LATERAL (SELECT treadle.search_key(t.name) AS name) AS key,
        LATERAL (SELECT ' ' || key.name LIKE '% ' || pattern.escaped || '%' AS begins,
          @home.word_similarity(typed, key.name) AS likeness) AS compared,
        LATERAL (SELECT count(*) AS documents FROM treadle.knowledge_tags AS kt
          WHERE kt.workspace_id = t.workspace_id AND kt.tag_id = t.id) AS used
      WHERE t.workspace_id = workspace AND used.documents > 0
        AND (compared.begins OR (length(typed) > 2 AND compared.likeness >= 0.4))
      ORDER BY key.name NOT LIKE pattern.escaped || '%', NOT compared.begins,
        CASE WHEN compared.begins THEN 1 ELSE compared.likeness END DESC, used.documents DESC, t.name
      LIMIT most
    $$
  $sql$, '@home', home);
END
$trigrams$;

-- Documents written before this migration.
SELECT treadle.index_documents(ARRAY(SELECT id FROM treadle.knowledge));

-- Down Migration
DROP TRIGGER search_tag_renamed ON treadle.tags;
DROP TRIGGER search_retagged ON treadle.knowledge_tags;
DROP TRIGGER search_untagged ON treadle.knowledge_tags;
DROP TRIGGER search_tagged ON treadle.knowledge_tags;
DROP TRIGGER search_truncated ON treadle.knowledge;
DROP TRIGGER search_deleted ON treadle.knowledge;
DROP TRIGGER search_updated ON treadle.knowledge;
DROP TRIGGER search_inserted ON treadle.knowledge;
DROP FUNCTION treadle.suggest_tags(uuid, text, integer), treadle.suggest_titles(uuid, text, integer),
  treadle.similar_words(uuid, text, integer), treadle.search_tag_renamed(), treadle.search_retagged(),
  treadle.search_tagging_changed(), treadle.search_knowledge_deleted(), treadle.search_knowledge_updated(),
  treadle.search_knowledge_inserted(), treadle.repair_search_documents(integer),
  treadle.index_for_writer(uuid[], boolean), treadle.index_document_tags(uuid[]), treadle.index_documents(uuid[]),
  treadle.tags_of(uuid, uuid);
DROP TABLE treadle.search_repairs, treadle.search_documents;
DROP FUNCTION treadle.tags_vector(text[]), treadle.search_vector(text, text, text), treadle.search_key(text),
  treadle.search_text(text), treadle.without_accents(text), treadle.search_capabilities();
