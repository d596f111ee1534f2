import { codeOf } from '../../lib/errors/classify.ts';
import type { Retention } from '../../lib/config/retention.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';

export interface Pruned {
  readonly partitionsDropped: string[];
  readonly partitionsBusy: string[];
  readonly deleted: {
    readonly finishedJobs: number;
    readonly events: number;
    readonly idempotencyKeys: number;
    readonly onceKeys: number;
    readonly scheduleFires: number;
  };
}

const dayMs = 86_400_000;
const onceKeysMs = 30 * dayMs;
const scheduleFiresMs = 90 * dayMs;
const batchSize = 5_000;
const lockNotAvailable = '55P03';

type Kind = 'done' | 'dead';

/** The daily partitions of which every row is older than `retentionMs`. */
const expiredPartitions = async (postgres: Postgres, kind: Kind, retentionMs: number): Promise<readonly string[]> => {
  const { rows } = await postgres.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
     WHERE i.inhparent = $1::regclass AND c.relname ~ '_[0-9]{8}$'
       AND to_date(right(c.relname, 8), 'YYYYMMDD') < ((now() - make_interval(secs => $2)) AT TIME ZONE 'UTC')::date
     ORDER BY c.relname`,
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

/**
 * Drops the partitions of finished jobs past their retention, deletes old rows of the default partitions, old events,
 * keys and fires in batches, and makes the partitions of the next days. May be stopped at any step and run again.
 */
export const pruneExpired = async (postgres: Postgres, retention: Retention, signal: AbortSignal): Promise<Pruned> => {
  await postgres.query('SELECT treadle.ensure_partitions()');
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
  const olderThan = (table: string, ageMs: number): Promise<number> =>
    deleteExpired(postgres, { table, column: 'created_at', ageMs }, signal);
  return {
    partitionsDropped,
    partitionsBusy,
    deleted: {
      finishedJobs,
      events: await deleteExpired(
        postgres,
        { table: 'events', column: 'occurred_on', ageMs: retention.eventsMs },
        signal,
      ),
      idempotencyKeys: await olderThan('idempotency_keys', retention.idempotencyKeysMs),
      onceKeys: await olderThan('once_keys', onceKeysMs),
      scheduleFires: await olderThan('schedule_fires', scheduleFiresMs),
    },
  };
};
