import type { Postgres } from '../../lib/postgres/postgres.ts';

export interface PrunedEvents {
  readonly deleted: number;
  /** Past their time, and kept because a consumer has yet to handle them. */
  readonly held: number;
  /** Deleted although a consumer had not handled them, for they were twice as old: how many, by consumer. */
  readonly missed: Readonly<Record<string, number>>;
}

interface Step {
  readonly xid: string;
  readonly seq: string;
  readonly looked: number;
  readonly expired: number;
  readonly deleted: number;
  readonly missed: Readonly<Record<string, number>> | null;
}

const batchSize = 5_000;
const waits = `(event.xid, event.seq) > (consumer.position_xid, consumer.position_seq)
  AND event.type LIKE ANY (ARRAY(SELECT replace(pattern, '*', '%') FROM unnest(consumer.types) AS pattern))
  AND (consumer.began IS NULL OR NOT pg_visible_in_snapshot(event.xid, consumer.began))`;

const statement = `
  WITH looked AS MATERIALIZED (
    SELECT id, xid, seq, type, recorded_at < now() - make_interval(secs => $3) AS expired,
      recorded_at < now() - make_interval(secs => 2 * $3) AS overdue
    FROM treadle.events WHERE (xid, seq) > ($1::xid8, $2::bigint) ORDER BY xid, seq LIMIT ${batchSize}
  ), unhandled AS MATERIALIZED (
    SELECT event.id, event.overdue, consumer.name FROM looked AS event JOIN treadle.event_consumers AS consumer ON ${waits}
    WHERE event.expired
  ), gone AS (
    DELETE FROM treadle.events WHERE id = ANY (ARRAY(
      SELECT id FROM looked WHERE expired AND (overdue OR id NOT IN (SELECT id FROM unhandled)))) RETURNING id
  ), missed AS (
    SELECT name, count(*)::integer AS events FROM unhandled WHERE overdue GROUP BY name
  ), noted AS (
    UPDATE treadle.event_consumers AS consumer SET missed = consumer.missed + missed.events, missed_at = clock_timestamp()
    FROM missed WHERE consumer.name = missed.name
  ), edge AS (
    SELECT xid, seq FROM looked ORDER BY xid DESC, seq DESC LIMIT 1
  )
  SELECT edge.xid::text AS xid, edge.seq::text AS seq, (SELECT count(*)::integer FROM looked) AS looked,
    (SELECT count(*)::integer FROM looked WHERE expired) AS expired, (SELECT count(*)::integer FROM gone) AS deleted,
    (SELECT jsonb_object_agg(name, events) FROM missed) AS missed
  FROM edge`;

/**
 * Deletes events that were recorded longer ago than `ageMs`, in the order in which they are read. What a consumer has yet to
 * handle is kept for as long again; then it goes, too, and is counted on the consumer as missed. May be stopped at any step.
 */
export const pruneEvents = async (postgres: Postgres, ageMs: number, signal: AbortSignal): Promise<PrunedEvents> => {
  const missed = new Map<string, number>();
  let [deleted, held] = [0, 0];
  for (let from = ['0', '0']; ;) {
    signal.throwIfAborted();
    const { rows } = await postgres.query<Step>(statement, [...from, ageMs / 1_000]);
    const [step] = rows;
    if (!step) break;
    deleted += step.deleted;
    held += step.expired - step.deleted;
    for (const [name, events] of Object.entries(step.missed ?? {})) missed.set(name, (missed.get(name) ?? 0) + events);
    // What follows is younger.
    if (step.looked < batchSize || step.expired === 0) break;
    from = [step.xid, step.seq];
  }
  return { deleted, held, missed: Object.fromEntries(missed) };
};

/** Deletes what consumers failed with longer ago than `ageMs`. */
export const pruneEventDeadLetters = async (
  postgres: Postgres,
  ageMs: number,
  signal: AbortSignal,
): Promise<number> => {
  for (let deleted = 0; ;) {
    signal.throwIfAborted();
    const { rowCount } = await postgres.query(
      `DELETE FROM treadle.event_dead_letters WHERE (consumer, event_id) IN (
         SELECT consumer, event_id FROM treadle.event_dead_letters
         WHERE failed_at < now() - make_interval(secs => $1) LIMIT ${batchSize})`,
      [ageMs / 1_000],
    );
    deleted += rowCount ?? 0;
    if ((rowCount ?? 0) < batchSize) return deleted;
  }
};
