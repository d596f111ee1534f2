-- Up Migration

-- When the row was written, by the server's clock: how long an event is kept goes by this, for its publisher says when it
-- occurred.
ALTER TABLE treadle.events ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();

-- Histories are read by time, the latest first; all events of a transaction may have one time. Retention follows
-- events_order.
-- Safe: an event is kept for days, and whoever writes one waits for as long as it takes to sort them.
CREATE INDEX events_latest ON treadle.events (occurred_on, id);
-- Safe: see above.
CREATE INDEX events_type ON treadle.events (type, occurred_on, id);
-- Safe: see above.
CREATE INDEX events_workspace ON treadle.events (workspace_id, occurred_on, id);
DROP INDEX treadle.events_time, treadle.events_aggregate;
-- Safe: see above.
CREATE INDEX events_aggregate ON treadle.events (aggregate_id, occurred_on, id);

-- How far each durable consumer has come, and which process has it.
CREATE TABLE treadle.event_consumers (
  name text PRIMARY KEY CONSTRAINT event_consumers_name_form
    CHECK (length(name) <= 100 AND name ~ '^[a-z0-9]+([-.][a-z0-9]+)*$'),
  -- What it is told of; * stands for any characters.
  types text[] NOT NULL,
  -- Everything of its types up to here has been handled, or lies with the dead letters.
  position_xid xid8 NOT NULL,
  position_seq bigint NOT NULL,
  -- What had been committed when it began is not for it; NULL: it began with the oldest event.
  began pg_snapshot,
  holder text,
  held_until timestamptz,
  -- Grows whenever a process takes the consumer: only the one that took it last may write.
  fence bigint NOT NULL DEFAULT 0,
  -- Of the event that comes next: how often its handler failed, and how many processes were lost with it.
  attempts integer NOT NULL DEFAULT 0,
  losses integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz,
  error jsonb,
  -- Events that retention took away before they were handled.
  missed bigint NOT NULL DEFAULT 0,
  missed_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Events that a consumer's handler has failed with for good, each with a copy of its own.
CREATE TABLE treadle.event_dead_letters (
  consumer text NOT NULL REFERENCES treadle.event_consumers (name) ON DELETE CASCADE ON UPDATE CASCADE,
  event_id uuid NOT NULL,
  event jsonb NOT NULL,
  attempts integer NOT NULL,
  error jsonb NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- To be handled once more.
  redrive boolean NOT NULL DEFAULT false,
  PRIMARY KEY (consumer, event_id)
);
CREATE INDEX event_dead_letters_latest ON treadle.event_dead_letters (consumer, failed_at, event_id);
CREATE INDEX event_dead_letters_redrive ON treadle.event_dead_letters (consumer, failed_at) WHERE redrive;

-- Whether the server has still to come to transactions that events or positions name: they came from another cluster, with a
-- dump. Nobody would be told of these events before it has.
CREATE FUNCTION treadle.events_are_ahead() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
  SELECT EXISTS (SELECT FROM treadle.events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))
    OR EXISTS (SELECT FROM treadle.event_consumers WHERE position_xid > pg_snapshot_xmax(pg_current_snapshot()))
$$;

-- Gives all events and positions an order that holds here: that of seq, below one transaction. A consumer whose position was
-- ahead comes to the event before the first one that it had not handled. Answers how many events there are.
CREATE FUNCTION treadle.rebase_events() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog SET jit = off
AS $$
DECLARE
  edge xid8;
  last_foreign bigint;
  counted bigint;
BEGIN
  LOCK TABLE treadle.events, treadle.event_consumers IN SHARE ROW EXCLUSIVE MODE;
  IF NOT treadle.events_are_ahead() THEN
    RETURN 0;
  END IF;
  edge := pg_snapshot_xmax(pg_current_snapshot());
  SELECT coalesce(max(seq), 0) INTO last_foreign FROM treadle.events WHERE xid >= edge;
  UPDATE treadle.event_consumers AS consumer SET
    position_xid = pg_current_xact_id(),
    position_seq = coalesce((
      SELECT min(seq) - 1 FROM treadle.events AS event
      WHERE (event.xid, event.seq) > (consumer.position_xid, consumer.position_seq)
        OR (consumer.position_xid > edge AND event.xid < edge AND event.seq > last_foreign)
    ), (SELECT coalesce(max(seq), 0) FROM treadle.events)),
    began = NULL, holder = NULL, held_until = NULL, fence = fence + 1;
  UPDATE treadle.events SET xid = pg_current_xact_id();
  GET DIAGNOSTICS counted = ROW_COUNT;
  RETURN counted;
END
$$;

-- Down Migration

DROP FUNCTION treadle.rebase_events(), treadle.events_are_ahead();
DROP TABLE treadle.event_dead_letters, treadle.event_consumers;
DROP INDEX treadle.events_aggregate, treadle.events_workspace, treadle.events_type, treadle.events_latest;
CREATE INDEX events_time ON treadle.events (occurred_on, type);
CREATE INDEX events_aggregate ON treadle.events (aggregate_id, seq);
ALTER TABLE treadle.events DROP COLUMN recorded_at;
