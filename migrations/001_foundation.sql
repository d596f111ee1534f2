-- Up Migration
CREATE SCHEMA IF NOT EXISTS treadle;

-- A version 7 UUID (RFC 9562): 48 bits of milliseconds, 12 bits of the fraction below, 62 random bits, so that ids sort
-- by the time they were made. Postgres has uuidv7() from 18 on; this one also works on 15.
-- One expression over qualified names, so that the planner can put it into the statement that calls it: 60 bits of time
-- in hexadecimal, the version between them, and the variant and random bits of a version 4 UUID.
CREATE FUNCTION treadle.uuid_v7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
  SELECT (
    pg_catalog.substr(
      pg_catalog.overlay(
        pg_catalog.encode(
          pg_catalog.int8send((pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 4096000)::bigint), 'hex'),
        '7', 14, 0),
      2)
    || pg_catalog.substr(pg_catalog.gen_random_uuid()::text, 20))::uuid
$$;

-- Down Migration
DROP FUNCTION treadle.uuid_v7();
