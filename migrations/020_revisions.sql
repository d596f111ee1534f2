-- Up Migration

-- A constant default: no row is written.
ALTER TABLE treadle.workspaces ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE treadle.users ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE treadle.roles ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE treadle.collections ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE treadle.tags ADD COLUMN revision integer NOT NULL DEFAULT 1;

-- Counts the changes of a row and notes their time. What is equal already is no change, and neither can be set by hand.
CREATE FUNCTION treadle.count_revision() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
  NEW.revision := OLD.revision;
  NEW.updated_at := OLD.updated_at;
  IF NEW IS DISTINCT FROM OLD THEN
    NEW.revision := OLD.revision + 1;
    NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at + interval '1 microsecond');
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER workspaces_count_revision BEFORE UPDATE ON treadle.workspaces
  FOR EACH ROW EXECUTE FUNCTION treadle.count_revision();
CREATE TRIGGER users_count_revision BEFORE UPDATE ON treadle.users
  FOR EACH ROW EXECUTE FUNCTION treadle.count_revision();
CREATE TRIGGER roles_count_revision BEFORE UPDATE ON treadle.roles
  FOR EACH ROW EXECUTE FUNCTION treadle.count_revision();
CREATE TRIGGER collections_count_revision BEFORE UPDATE ON treadle.collections
  FOR EACH ROW EXECUTE FUNCTION treadle.count_revision();
CREATE TRIGGER tags_count_revision BEFORE UPDATE ON treadle.tags
  FOR EACH ROW EXECUTE FUNCTION treadle.count_revision();

-- Down Migration
DROP TRIGGER tags_count_revision ON treadle.tags;
DROP TRIGGER collections_count_revision ON treadle.collections;
DROP TRIGGER roles_count_revision ON treadle.roles;
DROP TRIGGER users_count_revision ON treadle.users;
DROP TRIGGER workspaces_count_revision ON treadle.workspaces;
DROP FUNCTION treadle.count_revision();
ALTER TABLE treadle.tags DROP COLUMN revision;
ALTER TABLE treadle.collections DROP COLUMN revision;
ALTER TABLE treadle.roles DROP COLUMN revision;
ALTER TABLE treadle.users DROP COLUMN revision;
ALTER TABLE treadle.workspaces DROP COLUMN revision;
