-- Up Migration

-- Asked once for each document that is indexed for search. From version 18 on Postgres plans the statements of such a function
-- for the values of each call. Of a workspace newer than the statistics it then expects no rows, and reads all its tags for
-- each document; and a plan made while the tables were empty would read them from end to end. One plan by the indexes is
-- right for every call.
ALTER FUNCTION treadle.tags_of(uuid, uuid) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION treadle.tags_of(uuid, uuid) SET enable_seqscan = off;
ALTER FUNCTION treadle.tags_of(uuid, uuid) SET enable_hashjoin = off;
ALTER FUNCTION treadle.tags_of(uuid, uuid) SET enable_mergejoin = off;
-- Before version 18 a plan that has no other way costs so much that it would be compiled, for each document.
ALTER FUNCTION treadle.tags_of(uuid, uuid) SET jit = off;

-- Down Migration
ALTER FUNCTION treadle.tags_of(uuid, uuid) RESET plan_cache_mode;
ALTER FUNCTION treadle.tags_of(uuid, uuid) RESET enable_seqscan;
ALTER FUNCTION treadle.tags_of(uuid, uuid) RESET enable_hashjoin;
ALTER FUNCTION treadle.tags_of(uuid, uuid) RESET enable_mergejoin;
ALTER FUNCTION treadle.tags_of(uuid, uuid) RESET jit;
