-- Up Migration

-- Counters and sets of caches, where there is no Redis. Keys and members are as long as they like, and found by their hashes.
-- What has expired counts as gone, and is deleted once a day.
CREATE TABLE treadle.cache_counters (
  prefix text NOT NULL,
  key_hash bytea NOT NULL,
  value bigint NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (prefix, key_hash)
) WITH (fillfactor = 70);

CREATE TABLE treadle.cache_sets (
  prefix text NOT NULL,
  key_hash bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (prefix, key_hash)
) WITH (fillfactor = 70);

CREATE TABLE treadle.cache_set_members (
  prefix text NOT NULL,
  key_hash bytea NOT NULL,
  member_hash bytea NOT NULL,
  member text NOT NULL,
  PRIMARY KEY (prefix, key_hash, member_hash),
  FOREIGN KEY (prefix, key_hash) REFERENCES treadle.cache_sets (prefix, key_hash) ON DELETE CASCADE
);

-- When a workspace's cache was last warmed.
CREATE TABLE treadle.cache_warmings (
  workspace_id uuid PRIMARY KEY REFERENCES treadle.workspaces (id) ON DELETE CASCADE,
  warmed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);

-- Whether the change stream tells caches what has changed. Where it does not, the triggers below do.
CREATE FUNCTION treadle.caches_are_told() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
  SELECT EXISTS (
    SELECT FROM treadle.change_stream AS c, treadle.change_sinks AS s
    WHERE c.state = 'streaming' AND c.told_at > clock_timestamp() - interval '20 seconds'
      AND s.name = 'cache' AND s.state <> 'unavailable')
$$;

-- Tells caches of what a statement has changed: what kind of things, in which workspace, and which, if they are few. It
-- never fails the statement. TG_ARGV: the kind, the column of the workspace, the column of the id (or none).
CREATE FUNCTION treadle.tell_caches() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  IF treadle.caches_are_told() THEN
    RETURN NULL;
  END IF;
  EXECUTE format(
    'SELECT pg_notify(''treadle_cache_changes'', message) FROM (
       SELECT jsonb_build_object(''kind'', %L, ''workspaceId'', workspace, ''ids'',
         CASE WHEN count(DISTINCT id) <= 50 THEN jsonb_agg(DISTINCT id) END)::text AS message
       FROM (SELECT %I::text AS workspace, %s AS id FROM changed_rows) AS changed
       GROUP BY workspace ORDER BY workspace LIMIT 1000) AS told',
    TG_ARGV[0], TG_ARGV[1], CASE WHEN TG_NARGS > 2 THEN format('%I::text', TG_ARGV[2]) ELSE '''''' END);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RAISE DEBUG 'caches were not told (%)', SQLSTATE;
  RETURN NULL;
END
$$;

-- Who is renamed shows in the documents of every workspace that knows them.
CREATE FUNCTION treadle.tell_caches_of_users() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  IF NOT treadle.caches_are_told() THEN
    PERFORM pg_notify('treadle_cache_changes', jsonb_build_object('kind', 'names', 'workspaceId', workspace_id)::text)
    FROM (SELECT DISTINCT m.workspace_id FROM treadle.workspace_members AS m JOIN changed_rows AS u ON u.id = m.user_id
      ORDER BY m.workspace_id LIMIT 1000) AS showing;
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RAISE DEBUG 'caches were not told (%)', SQLSTATE;
  RETURN NULL;
END
$$;

CREATE FUNCTION treadle.tell_caches_of_everything() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
  IF NOT treadle.caches_are_told() THEN
    PERFORM pg_notify('treadle_cache_changes', '{"kind":"everything"}');
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RAISE DEBUG 'caches were not told (%)', SQLSTATE;
  RETURN NULL;
END
$$;

CREATE TRIGGER cache_inserted AFTER INSERT ON treadle.knowledge REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('knowledge', 'workspace_id', 'id');
CREATE TRIGGER cache_updated AFTER UPDATE ON treadle.knowledge REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('knowledge', 'workspace_id', 'id');
CREATE TRIGGER cache_deleted AFTER DELETE ON treadle.knowledge REFERENCING OLD TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('knowledge', 'workspace_id', 'id');
CREATE TRIGGER cache_truncated AFTER TRUNCATE ON treadle.knowledge
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches_of_everything();

CREATE TRIGGER cache_inserted AFTER INSERT ON treadle.knowledge_tags REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('knowledge', 'workspace_id', 'knowledge_id');
CREATE TRIGGER cache_updated AFTER UPDATE ON treadle.knowledge_tags REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('names', 'workspace_id');
CREATE TRIGGER cache_deleted AFTER DELETE ON treadle.knowledge_tags REFERENCING OLD TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('knowledge', 'workspace_id', 'knowledge_id');
CREATE TRIGGER cache_truncated AFTER TRUNCATE ON treadle.knowledge_tags
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches_of_everything();

CREATE TRIGGER cache_updated AFTER UPDATE ON treadle.tags REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('names', 'workspace_id');
CREATE TRIGGER cache_updated AFTER UPDATE ON treadle.collections REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('names', 'workspace_id');
CREATE TRIGGER cache_updated AFTER UPDATE ON treadle.users REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches_of_users();

CREATE TRIGGER cache_updated AFTER UPDATE ON treadle.workspaces REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('workspace', 'id');
CREATE TRIGGER cache_deleted AFTER DELETE ON treadle.workspaces REFERENCING OLD TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('workspace', 'id');

-- What is near a question changes with the vectors of documents, later than they do.
CREATE TRIGGER cache_inserted AFTER INSERT ON treadle.embedded_entities REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('search', 'workspace_id');
CREATE TRIGGER cache_updated AFTER UPDATE ON treadle.embedded_entities REFERENCING NEW TABLE AS changed_rows
  FOR EACH STATEMENT EXECUTE FUNCTION treadle.tell_caches('search', 'workspace_id');

-- Down Migration

DO $down$
DECLARE
  trigger record;
BEGIN
  FOR trigger IN
    SELECT t.tgname, c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'treadle' AND t.tgname IN ('cache_inserted', 'cache_updated', 'cache_deleted', 'cache_truncated')
  LOOP
    EXECUTE format('DROP TRIGGER %I ON treadle.%I', trigger.tgname, trigger.relname);
  END LOOP;
END
$down$;
DROP FUNCTION treadle.tell_caches_of_everything(), treadle.tell_caches_of_users(), treadle.tell_caches(), treadle.caches_are_told();
DROP TABLE treadle.cache_warmings, treadle.cache_set_members, treadle.cache_sets, treadle.cache_counters;
