-- Up Migration
CREATE SCHEMA IF NOT EXISTS treadle;

-- A version 7 UUID (RFC 9562): 48 bits of milliseconds, 12 bits of the fraction below, 62 random bits, so that ids sort
-- by the time they were made. Postgres has uuidv7() from 18 on; this one also works on 15.
CREATE FUNCTION treadle.uuid_v7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
SET search_path = pg_catalog
AS $$
  SELECT encode(
    set_byte(
      set_byte(
        overlay(uuid_send(gen_random_uuid()) PLACING substring(int8send((micros / 1000)::bigint) FROM 3) FROM 1 FOR 6),
        6, (112 | (fraction >> 8))::int),
      7, (fraction & 255)::int),
    'hex')::uuid
  FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros) AS clock,
    LATERAL (SELECT ((micros % 1000) * 4096 / 1000)::int AS fraction) AS below
$$;

-- Down Migration
DROP FUNCTION treadle.uuid_v7();
