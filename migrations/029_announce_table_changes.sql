-- Up Migration

-- Tells the change stream that a published table was altered or dropped, in the transaction that does so. It never fails it.
CREATE FUNCTION treadle.announce_altered_tables() RETURNS event_trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  names text;
BEGIN
  SELECT string_agg(DISTINCT object_identity, ', ') INTO names FROM pg_event_trigger_ddl_commands()
    WHERE object_type IN ('table', 'table column')
      AND objid IN (SELECT prrelid FROM pg_publication_rel AS r JOIN pg_publication AS p ON p.oid = r.prpubid WHERE p.pubname LIKE 'treadle%');
  IF names IS NOT NULL THEN
    PERFORM pg_logical_emit_message(true, 'treadle.ddl', names);
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE DEBUG 'the change of a table was not announced (%)', SQLSTATE;
END
$$;

CREATE FUNCTION treadle.announce_dropped_tables() RETURNS event_trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
  names text;
BEGIN
  -- A published table leaves its publication with it.
  SELECT string_agg(DISTINCT object_identity, ', ') INTO names FROM pg_event_trigger_dropped_objects()
    WHERE object_type = 'publication relation' AND object_identity LIKE '%in publication treadle%';
  IF names IS NOT NULL THEN
    PERFORM pg_logical_emit_message(true, 'treadle.ddl', names);
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE DEBUG 'the drop of a table was not announced (%)', SQLSTATE;
END
$$;

-- Event triggers are a superuser's to make; without them a change is seen when the next row of the table comes.
DO $triggers$
BEGIN
  CREATE EVENT TRIGGER treadle_altered_tables ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION treadle.announce_altered_tables();
  CREATE EVENT TRIGGER treadle_dropped_tables ON sql_drop
    EXECUTE FUNCTION treadle.announce_dropped_tables();
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'changes of tables are not announced to the change stream: event triggers need a superuser';
END
$triggers$;

-- Down Migration
DROP EVENT TRIGGER IF EXISTS treadle_altered_tables;
DROP EVENT TRIGGER IF EXISTS treadle_dropped_tables;
DROP FUNCTION treadle.announce_altered_tables(), treadle.announce_dropped_tables();
