import { codeOf } from '../../lib/errors/classify.ts';
import type { Retention } from '../../lib/config/retention.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { pruneEventDeadLetters, pruneEvents } from '../../domain/events/prune-events.ts';
import { deleteSearchesBeyond } from './delete-searches-beyond.ts';

export interface Pruned {
  readonly partitionsDropped: string[];
  readonly partitionsBusy: string[];
  readonly deleted: {
    readonly finishedJobs: number;
    readonly events: number;
    readonly eventDeadLetters: number;
    readonly payloads: number;
    readonly sagas: number;
    readonly searches: number;
    readonly presenceDocuments: number;
  } & Readonly<Awaited<ReturnType<typeof deleteAged>>>;
  /** Events past their time that are kept because a consumer has yet to handle them. */
  readonly eventsHeld: number;
  /** Events that were deleted before a consumer handled them, for they were twice as old: how many, by consumer. */
  readonly eventsMissed: Readonly<Record<string, number>>;
}

const dayMs = 86_400_000;
const onceKeysMs = 30 * dayMs;
const scheduleFiresMs = 90 * dayMs;
/** The longest time of a rate: a bucket that nobody took from for so long is full, as one that is not there. */
const rateBucketsMs = dayMs;
/** For processes whose clocks differ by less, such a window is over. */
const rateLimitsMs = 60_000;
/** Trends look back a year at most. */
const searchCountsMs = 400 * dayMs;
/** A lock that long ago given back, or run out, need not be known. */
const locksMs = dayMs;
/** Nobody who lost a lock writes after so long. */
const lockFencesMs = 30 * dayMs;
/** Of a workspace. */
const mostSearches = 1_000_000;
const batchSize = 5_000;
/** What a finished job takes, nearly: its large columns, and the rest of the row with its index entries. */
const rowBytes = `(400 + pg_column_size(payload) + pg_column_size(failures) + coalesce(pg_column_size(result), 0) + coalesce(pg_column_size(error), 0))`;
const lockNotAvailable = '55P03';

type Kind = 'done' | 'dead';

/** The daily partitions of the table $1. */
const partitionsOf = `SELECT c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD') AS day, c.oid
  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
  WHERE i.inhparent = $1::regclass AND c.relname ~ '_[0-9]{8}$'`;

/** The daily partitions of which every row is older than `retentionMs`, the oldest first. */
const expiredPartitions = async (postgres: Postgres, kind: Kind, retentionMs: number): Promise<readonly string[]> => {
  const { rows } = await postgres.query<{ name: string }>(
    `SELECT name FROM (${partitionsOf}) AS daily
     WHERE day < ((now() - make_interval(secs => $2)) AT TIME ZONE 'UTC')::date ORDER BY day`,
    [`treadle.finished_jobs_${kind}`, retentionMs / 1_000],
  );
  return rows.map(({ name }) => name);
};

/** False when somebody uses the table: those who finish jobs must not queue behind us for long. */
const dropTable = async (postgres: Postgres, name: string): Promise<boolean> => {
  try {
    await postgres.transaction(
      async (tx) => {
        await tx.query(`SET LOCAL lock_timeout = '2s'`);
        await tx.query(`DROP TABLE IF EXISTS treadle.${name}`);
      },
      { name: 'prune.drop-partition' },
    );
    return true;
  } catch (error) {
    if (codeOf(error) === lockNotAvailable) return false;
    throw error;
  }
};

const deleteExpired = async (
  postgres: Postgres,
  { table, column, ageMs }: { readonly table: string; readonly column: string; readonly ageMs: number },
  signal: AbortSignal,
): Promise<number> => {
  for (let deleted = 0; ;) {
    signal.throwIfAborted();
    const { rowCount } = await postgres.query(
      `DELETE FROM treadle.${table} WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM treadle.${table} WHERE ${column} < now() - make_interval(secs => $1) LIMIT ${batchSize}))`,
      [ageMs / 1_000],
    );
    deleted += rowCount ?? 0;
    if ((rowCount ?? 0) < batchSize) return deleted;
  }
};

/** The oldest daily partitions, without which the others take no more than `maxBytes`. Never the present day's. */
const oldestBeyond = async (postgres: Postgres, kind: Kind, maxBytes: number): Promise<readonly string[]> => {
  const { rows } = await postgres.query<{ name: string }>(
    `SELECT name FROM (
       SELECT name, day, sum(pg_total_relation_size(oid)) OVER (ORDER BY day DESC) AS with_younger FROM (${partitionsOf}) AS daily
     ) AS sized
     WHERE with_younger > $2 AND day < (now() AT TIME ZONE 'UTC')::date ORDER BY day`,
    [`treadle.finished_jobs_${kind}`, maxBytes],
  );
  return rows.map(({ name }) => name);
};

/** Sagas that have ended go when their jobs do. */
const deleteSagas = async (postgres: Postgres, retention: Retention, signal: AbortSignal): Promise<number> => {
  for (let deleted = 0; ;) {
    signal.throwIfAborted();
    const { rowCount } = await postgres.query(
      `DELETE FROM treadle.sagas WHERE id = ANY (ARRAY(
         SELECT id FROM treadle.sagas
         WHERE finished_at < now() - make_interval(secs => least($1::float8, $2::float8))
           AND finished_at < now() - make_interval(secs => CASE state WHEN 'failed' THEN $2::float8 ELSE $1::float8 END)
         LIMIT ${batchSize}))`,
      [retention.completedMs / 1_000, retention.deadMs / 1_000],
    );
    deleted += rowCount ?? 0;
    if ((rowCount ?? 0) < batchSize) return deleted;
  }
};

/** Large payloads go with their jobs. */
const deletePayloads = async (postgres: Postgres, signal: AbortSignal): Promise<number> => {
  for (let deleted = 0; ;) {
    signal.throwIfAborted();
    const { rowCount } = await postgres.query(
      `DELETE FROM treadle.payloads WHERE job_id = ANY (ARRAY(
         SELECT job_id FROM treadle.payloads AS kept
         WHERE NOT EXISTS (SELECT FROM treadle.jobs WHERE id = kept.job_id)
           AND NOT EXISTS (SELECT FROM treadle.finished_jobs WHERE id = kept.job_id) LIMIT ${batchSize}))`,
    );
    deleted += rowCount ?? 0;
    if ((rowCount ?? 0) < batchSize) return deleted;
  }
};

/** Documents that nobody was in for a day, with what happened there. */
const deletePresenceDocuments = async (postgres: Postgres, signal: AbortSignal): Promise<number> => {
  for (let deleted = 0; ;) {
    signal.throwIfAborted();
    const { rows } = await postgres.query<{ documents: number }>(
      `WITH gone AS (
         DELETE FROM treadle.presence_documents WHERE document_id = ANY (ARRAY(
           SELECT document_id FROM treadle.presence_documents AS known
           WHERE changed_at < now() - interval '1 day'
             AND NOT EXISTS (SELECT FROM treadle.presence_users AS user_in WHERE user_in.document_id = known.document_id)
           LIMIT ${batchSize})) AND changed_at < now() - interval '1 day'
         RETURNING document_id
       ), events AS (
         DELETE FROM treadle.presence_events AS event USING gone WHERE event.document_id = gone.document_id)
       SELECT count(*)::integer AS documents FROM gone`,
    );
    const documents = rows[0]?.documents ?? 0;
    deleted += documents;
    if (documents < batchSize) return deleted;
  }
};

/**
 * Deletes rows, the oldest first, while those that are left take more than `maxBytes`. Their own size is counted: what a
 * table takes on disk does not shrink when its rows go.
 */
const deleteBeyond = async (
  postgres: Postgres,
  { kind, maxBytes }: { readonly kind: Kind; readonly maxBytes: number },
  signal: AbortSignal,
): Promise<number> => {
  const table = `treadle.finished_jobs_${kind}`;
  const { rows: sizes } = await postgres.query<{ bytes: string }>(
    `SELECT sum(pg_total_relation_size(inhrelid)) AS bytes FROM pg_inherits WHERE inhparent = $1::regclass`,
    [table],
  );
  if (Number(sizes[0]?.bytes ?? 0) <= maxBytes) return 0;
  const { rows: live } = await postgres.query<{ bytes: string | null }>(
    `SELECT sum(${rowBytes}) AS bytes FROM ${table}`,
  );
  let excess = Number(live[0]?.bytes ?? 0) - maxBytes;
  let deleted = 0;
  while (excess > 0) {
    signal.throwIfAborted();
    const { rows } = await postgres.query<{ bytes: string; jobs: number }>(
      `WITH gone AS (
         DELETE FROM ${table} WHERE id = ANY (ARRAY(
           SELECT id FROM (
             SELECT id, sum(${rowBytes}) OVER (ORDER BY id) - ${rowBytes} AS older
             FROM (SELECT * FROM ${table} ORDER BY id LIMIT ${batchSize}) AS oldest) AS counted
           WHERE older < $1))
         RETURNING ${rowBytes} AS bytes)
       SELECT coalesce(sum(bytes), 0) AS bytes, count(*)::integer AS jobs FROM gone`,
      [excess],
    );
    const [step] = rows;
    if (!step || step.jobs === 0) return deleted;
    excess -= Number(step.bytes);
    deleted += step.jobs;
  }
  return deleted;
};

/** Rows that go by their age alone. */
const deleteAged = async (postgres: Postgres, retention: Retention, signal: AbortSignal) => {
  const olderThan = (table: string, ageMs: number, column = 'created_at'): Promise<number> =>
    deleteExpired(postgres, { table, column, ageMs }, signal);
  return {
    idempotencyKeys: await olderThan('idempotency_keys', retention.idempotencyKeysMs),
    onceKeys: await olderThan('once_keys', onceKeysMs),
    scheduleFires: await olderThan('schedule_fires', scheduleFiresMs),
    throttles: await olderThan('throttles', 0, 'next_at'),
    rateBuckets: await olderThan('rate_buckets', rateBucketsMs, 'refilled_at'),
    rateLimits: await olderThan('rate_limits', rateLimitsMs, 'to_timestamp(expire / 1000.0)'),
    searchDays: await olderThan('search_days', searchCountsMs, 'day'),
    searchQueries: await olderThan('search_queries', searchCountsMs, 'day'),
    sessions: await olderThan('sessions', 0, 'expires_at'),
    locks: await olderThan('locks', locksMs, 'expires_at'),
    lockFences: await olderThan('lock_fences', lockFencesMs, 'raised_at'),
    cacheCounters: await olderThan('cache_counters', 0, 'expires_at'),
    cacheSets: await olderThan('cache_sets', 0, 'expires_at'),
  };
};

type PrunedJobs = Pick<Pruned, 'partitionsDropped' | 'partitionsBusy'> & { readonly finishedJobs: number };

const pruneFinishedJobs = async (
  postgres: Postgres,
  retention: Retention,
  signal: AbortSignal,
): Promise<PrunedJobs> => {
  const partitionsDropped: string[] = [];
  const partitionsBusy: string[] = [];
  let finishedJobs = 0;
  for (const [kind, ageMs] of [
    ['done', retention.completedMs],
    ['dead', retention.deadMs],
  ] as const) {
    for (const name of await expiredPartitions(postgres, kind, ageMs)) {
      signal.throwIfAborted();
      ((await dropTable(postgres, name)) ? partitionsDropped : partitionsBusy).push(name);
    }
    const table = `finished_jobs_${kind}_other`;
    finishedJobs += await deleteExpired(postgres, { table, column: 'finished_at', ageMs }, signal);
  }
  for (const [kind, maxBytes] of [
    ['done', retention.completedBytes],
    ['dead', retention.deadBytes],
  ] as const) {
    if (maxBytes === undefined) continue;
    for (const name of await oldestBeyond(postgres, kind, maxBytes)) {
      signal.throwIfAborted();
      ((await dropTable(postgres, name)) ? partitionsDropped : partitionsBusy).push(name);
    }
    finishedJobs += await deleteBeyond(postgres, { kind, maxBytes }, signal);
  }
  return { partitionsDropped, partitionsBusy, finishedJobs };
};

/**
 * Drops the partitions of finished jobs past their retention or beyond the room they may take, deletes old rows of the default partitions, old events,
 * keys and fires in batches, and makes the partitions of the next days. May be stopped at any step and run again.
 */
export const pruneExpired = async (postgres: Postgres, retention: Retention, signal: AbortSignal): Promise<Pruned> => {
  await postgres.query('SELECT treadle.ensure_partitions()');
  const { finishedJobs, ...partitions } = await pruneFinishedJobs(postgres, retention, signal);
  const events = await pruneEvents(postgres, retention.eventsMs, signal);
  const searches = { table: 'searches', column: 'searched_at', ageMs: retention.searchesMs };
  return {
    ...partitions,
    eventsHeld: events.held,
    eventsMissed: events.missed,
    deleted: {
      ...(await deleteAged(postgres, retention, signal)),
      finishedJobs,
      events: events.deleted,
      eventDeadLetters: await pruneEventDeadLetters(postgres, retention.deadMs, signal),
      payloads: await deletePayloads(postgres, signal),
      sagas: await deleteSagas(postgres, retention, signal),
      searches:
        (await deleteExpired(postgres, searches, signal)) +
        (await deleteSearchesBeyond(postgres, mostSearches, signal)),
      presenceDocuments: await deletePresenceDocuments(postgres, signal),
    },
  };
};
