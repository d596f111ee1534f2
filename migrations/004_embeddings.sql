-- Up Migration

-- One row a chunk: its text's vector under one model, of length 1 or all zeroes. Rows of several models lie side by side
-- and are never compared.
-- `vector` is real[] here and becomes pgvector's type below when that extension can be had; nobody but
-- treadle.nearest_chunks needs to know. `bits` are the signs of the vector after a fixed rotation (made by the writer).
CREATE TABLE treadle.embeddings (
  workspace_id uuid NOT NULL,
  entity_type text NOT NULL,
  entity_id uuid NOT NULL,
  chunk_index integer NOT NULL CHECK (chunk_index >= 0),
  model text NOT NULL,
  dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 16000),
  -- SHA-256 over model and text of the chunk: equal hashes need no second request.
  content_hash bytea NOT NULL CHECK (length(content_hash) = 32),
  -- Where the chunk lies in the entity's content, in characters as Postgres counts them; the end is exclusive.
  chunk_start integer NOT NULL,
  chunk_end integer NOT NULL,
  bits bit varying NOT NULL,
  vector real[] NOT NULL,
  PRIMARY KEY (entity_type, entity_id, model, chunk_index)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
-- Vectors lie in TOAST, uncompressed, so that reading the bits of every row stays cheap.
ALTER TABLE treadle.embeddings ALTER COLUMN vector SET STORAGE EXTERNAL;
CREATE INDEX embeddings_workspace ON treadle.embeddings (workspace_id, model, entity_type);
CREATE INDEX embeddings_hash ON treadle.embeddings (content_hash, workspace_id);

-- Which version of an entity the rows above show, by model: an older refresh never overwrites a newer one, and an entity
-- without any text is known to be done.
CREATE TABLE treadle.embedded_entities (
  workspace_id uuid NOT NULL,
  entity_type text NOT NULL,
  entity_id uuid NOT NULL,
  model text NOT NULL,
  dimensions integer NOT NULL,
  version integer NOT NULL,
  chunks integer NOT NULL,
  embedded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (entity_type, entity_id, model)
);

-- Vectors already paid for, of documents so long that they take several requests: kept until all their chunks are there.
CREATE TABLE treadle.pending_embeddings (
  workspace_id uuid NOT NULL,
  content_hash bytea NOT NULL,
  dimensions integer NOT NULL,
  bits bit varying NOT NULL,
  vector real[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, content_hash)
);
ALTER TABLE treadle.pending_embeddings ALTER COLUMN vector SET STORAGE EXTERNAL;
CREATE INDEX pending_embeddings_created ON treadle.pending_embeddings (created_at);

CREATE TYPE treadle.nearest_chunk AS
  (entity_id uuid, chunk_index integer, chunk_start integer, chunk_end integer, score float8);

-- The up to `wanted` chunks of a workspace whose vectors under `of_model` are nearest to `query` by cosine, best first.
-- `among` limits them to those entities; the filter comes first, so it never costs a result. `query` has length 1, and
-- `query_bits` are its sign bits, made as the stored ones are.
-- This storage: the `exact` rows with the fewest differing bits are ranked by exact cosine; what is wanted beyond them
-- follows in the order of its bits, its score estimated from their share.
CREATE FUNCTION treadle.nearest_chunks(
  workspace uuid, of_type text, of_model text, query real[], query_bits bit varying, wanted integer,
  among uuid[] DEFAULT NULL, exact integer DEFAULT 200)
RETURNS SETOF treadle.nearest_chunk
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog SET jit = off SET work_mem = '32MB'
AS $$
DECLARE
  bit_length integer := length(query_bits);
BEGIN
  IF NOT EXISTS (SELECT 1 FROM unnest(query) AS x WHERE x <> 0) THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH listed AS MATERIALIZED (
    SELECT DISTINCT listed_id FROM unnest(among) AS listed_id
  ), nearest AS MATERIALIZED (
    SELECT e.entity_id, e.chunk_index, e.chunk_start, e.chunk_end, e.vector,
      bit_count(e.bits # query_bits) AS differing
    FROM treadle.embeddings AS e
    WHERE e.workspace_id = workspace AND e.entity_type = of_type AND e.model = of_model
      AND e.dimensions = cardinality(query)
      AND (among IS NULL OR e.entity_id IN (SELECT listed_id FROM listed))
    ORDER BY differing, e.entity_id, e.chunk_index
    LIMIT greatest(wanted, exact)
  ), numbered AS MATERIALIZED (
    SELECT n.*, row_number() OVER (ORDER BY n.differing, n.entity_id, n.chunk_index) AS place FROM nearest AS n
  ), measured AS MATERIALIZED (
    SELECT n.entity_id, n.chunk_index, n.chunk_start, n.chunk_end,
      (SELECT sum(pair.a::float8 * pair.b)
        FROM (SELECT unnest(n.vector) AS a, unnest(query) AS b) AS pair) AS score
    FROM numbered AS n WHERE n.place <= exact
  ), worst AS (
    SELECT min(m.score) AS score FROM measured AS m
  ), ranked AS (
    SELECT m.*, 0 AS tier FROM measured AS m
    UNION ALL
    SELECT n.entity_id, n.chunk_index, n.chunk_start, n.chunk_end,
      least(cos(pi() * n.differing / bit_length), worst.score), 1
    FROM numbered AS n, worst WHERE n.place > exact
  )
  SELECT r.entity_id, r.chunk_index, r.chunk_start, r.chunk_end, r.score
  FROM ranked AS r
  ORDER BY r.tier, r.score DESC, r.entity_id, r.chunk_index
  LIMIT wanted;
END
$$;

-- Makes what searching a model's vectors needs; call it before a model's first rows. Nothing to do in this storage.
CREATE FUNCTION treadle.prepare_model(of_model text, of_dimensions integer) RETURNS void
LANGUAGE sql
AS $$ SELECT NULL::void $$;

-- 'pgvector' or 'bits': how vectors are stored here.
CREATE FUNCTION treadle.vector_storage() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 'bits' $$;

DO $storage$
DECLARE
  home text;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector')
    AND EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector') THEN
    BEGIN
      CREATE EXTENSION vector SCHEMA public;
    EXCEPTION WHEN OTHERS THEN
      RAISE NOTICE 'pgvector is available but could not be created (%); vectors are stored as real[]', SQLERRM;
    END;
  END IF;
  -- 0.8 brought iterative index scans, without which a filter could cost results.
  SELECT quote_ident(n.nspname) INTO home FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector'
      AND (split_part(e.extversion, '.', 1)::integer, split_part(e.extversion, '.', 2)::integer) >= (0, 8);
  IF home IS NULL THEN
    RETURN;
  END IF;

  EXECUTE format('ALTER TABLE treadle.embeddings ALTER COLUMN vector TYPE %s.vector USING NULL', home);
  ALTER TABLE treadle.embeddings ALTER COLUMN vector SET STORAGE EXTERNAL;

  EXECUTE $sql$
    CREATE OR REPLACE FUNCTION treadle.vector_storage() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 'pgvector' $$
  $sql$;

  -- An index a model, cast to its dimensions: HNSW takes vector up to 2,000 of them and halfvec up to 4,000; beyond that
  -- every search is exact.
  EXECUTE replace($sql$
    CREATE OR REPLACE FUNCTION treadle.prepare_model(of_model text, of_dimensions integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog SET lock_timeout = '2s'
    AS $$
    DECLARE
      kind text := CASE WHEN of_dimensions <= 2000 THEN 'vector' ELSE 'halfvec' END;
      index_name text := 'embeddings_hnsw_'
        || left(encode(sha256(convert_to(of_model || ' ' || of_dimensions, 'UTF8')), 'hex'), 16);
    BEGIN
      IF of_dimensions NOT BETWEEN 1 AND 4000 OR to_regclass('treadle.' || index_name) IS NOT NULL THEN
        RETURN;
      END IF;
      EXECUTE format(
        'CREATE INDEX IF NOT EXISTS %I ON treadle.embeddings USING hnsw ((vector::@home.%s(%s)) @home.%s_cosine_ops)
         WHERE model = %L AND dimensions = %s',
        index_name, kind, of_dimensions, kind, of_model, of_dimensions);
    END
    $$
  $sql$, '@home', home);

  -- Up to 5,000 candidates are ranked exactly. More go through the index, which walks on until enough rows have passed
  -- the filter; should it give up before, the candidates are ranked exactly after all.
  EXECUTE replace($sql$
    CREATE OR REPLACE FUNCTION treadle.nearest_chunks(
      workspace uuid, of_type text, of_model text, query real[], query_bits bit varying, wanted integer,
      among uuid[] DEFAULT NULL, exact integer DEFAULT 200)
    RETURNS SETOF treadle.nearest_chunk
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog SET jit = off
    SET hnsw.iterative_scan = 'strict_order' SET hnsw.max_scan_tuples = '200000' SET hnsw.ef_search = '400'
    AS $$
    DECLARE
      size integer := array_length(query, 1);
      exact_type text := '@home.vector';
      index_type text := format('@home.%s(%s)', CASE WHEN size <= 2000 THEN 'vector' ELSE 'halfvec' END, size);
      candidates text := format(
        'FROM treadle.embeddings AS e WHERE e.workspace_id = $1 AND e.entity_type = $2 AND e.model = %L
         AND e.dimensions = %s AND ($5 IS NULL OR e.entity_id = ANY ($5))', of_model, size);
      ranking text :=
        'SELECT array_agg(ROW(n.entity_id, n.chunk_index, n.chunk_start, n.chunk_end, 1 - n.distance)::treadle.nearest_chunk
           ORDER BY n.distance, n.entity_id, n.chunk_index)
         FROM (SELECT e.entity_id, e.chunk_index, e.chunk_start, e.chunk_end,
             (e.vector::%1$s) OPERATOR(@home.<=>) ($3::real[]::%1$s) AS distance %2$s
           ORDER BY (e.vector::%1$s) OPERATOR(@home.<=>) ($3::real[]::%1$s) LIMIT $4) AS n';
      matching integer;
      ranked treadle.nearest_chunk[];
    BEGIN
      IF NOT EXISTS (SELECT 1 FROM unnest(query) AS x WHERE x <> 0) THEN
        RETURN;
      END IF;
      EXECUTE 'SELECT count(*) FROM (SELECT 1 ' || candidates || ' LIMIT 5001) AS counted'
        INTO matching USING workspace, of_type, query, wanted, among;
      IF matching > 5000 AND size <= 4000 THEN
        EXECUTE format(ranking, index_type, candidates) INTO ranked USING workspace, of_type, query, wanted, among;
      END IF;
      IF coalesce(cardinality(ranked), 0) < least(wanted, matching) THEN
        EXECUTE format(ranking, exact_type, candidates) INTO ranked USING workspace, of_type, query, wanted, among;
      END IF;
      RETURN QUERY SELECT r.* FROM unnest(ranked) AS r;
    END
    $$
  $sql$, '@home', home);
END
$storage$;

-- What remains of entities when they are deleted or truncated away: nothing. Attach it to another table of entities with
-- that entity type as argument.
CREATE FUNCTION treadle.forget_embeddings() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM treadle.embeddings WHERE entity_type = TG_ARGV[0];
    DELETE FROM treadle.embedded_entities WHERE entity_type = TG_ARGV[0];
  ELSE
    DELETE FROM treadle.embeddings AS e USING removed AS r WHERE e.entity_type = TG_ARGV[0] AND e.entity_id = r.id;
    DELETE FROM treadle.embedded_entities AS e USING removed AS r WHERE e.entity_type = TG_ARGV[0] AND e.entity_id = r.id;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER forget_embeddings AFTER DELETE ON treadle.knowledge
  REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.forget_embeddings('knowledge');
CREATE TRIGGER forget_embeddings_of_all AFTER TRUNCATE ON treadle.knowledge
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.forget_embeddings('knowledge');

-- Down Migration
DROP TRIGGER forget_embeddings_of_all ON treadle.knowledge;
DROP TRIGGER forget_embeddings ON treadle.knowledge;
DROP FUNCTION treadle.forget_embeddings();
DROP FUNCTION treadle.nearest_chunks(uuid, text, text, real[], bit varying, integer, uuid[], integer);
DROP FUNCTION treadle.prepare_model(text, integer);
DROP FUNCTION treadle.vector_storage();
DROP TYPE treadle.nearest_chunk;
DROP TABLE treadle.pending_embeddings, treadle.embedded_entities, treadle.embeddings;
