import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { transportIdOf, type QueueTransport } from '../transport.ts';

export interface ReconcilerOptions {
  /** How long past its own time-out a relayed job may be silent before its queue is asked about it. */
  readonly graceMs?: number;
}

interface OpenRow {
  readonly id: string;
  readonly returns: number;
  readonly bundle: string | null;
}

/** The entry of its queue that carries the job. */
const entryOf = ({ id, returns, bundle }: OpenRow): string => bundle ?? transportIdOf(id, returns);

const batchSize = 500;
const answerWithinMs = 10_000;

/** Finds jobs that the ledger believes to be in a queue which no longer knows them, and makes them ready again. */
export class Reconciler {
  readonly #postgres: Postgres;
  readonly #log: Log;
  readonly #transports: readonly QueueTransport[];
  readonly #graceMs: number;

  constructor(postgres: Postgres, transports: readonly QueueTransport[], log: Log, options: ReconcilerOptions = {}) {
    this.#postgres = postgres;
    this.#transports = transports;
    this.#log = log;
    this.#graceMs = options.graceMs ?? 60_000;
  }

  /** Checks every queue once and answers how many jobs were made ready again. */
  async reconcile(): Promise<number> {
    let lost = 0;
    for (const transport of this.#transports) {
      lost += await this.#reconcileQueue(transport).catch((error: unknown) => {
        this.#log.warn({ event: 'reconciler.queue-failed', queue: transport.queue, err: error });
        return 0;
      });
    }
    return lost;
  }

  async #reconcileQueue(transport: QueueTransport): Promise<number> {
    const { rows } = await this.#postgres.query<OpenRow & Record<string, unknown>>(
      `SELECT id, returns, bundle FROM treadle.jobs
       WHERE queue = $1 AND state IN ('waiting', 'active')
         AND greatest(relayed_at, started_at) < now() - make_interval(secs => (timeout_ms + $2) / 1000.0)
       ORDER BY relayed_at LIMIT ${batchSize}`,
      [transport.queue, this.#graceMs],
    );
    if (rows.length === 0) return 0;
    const ids = [...new Set(rows.map(entryOf))];
    const known = await withTimeout(transport.known(ids), answerWithinMs, transport.queue);
    const lost = rows.filter((row) => !known.has(entryOf(row))).map(({ id }) => id);
    // Jobs that do wait in the queue are asked about again when the same time has passed once more.
    await this.#postgres.query(
      `UPDATE treadle.jobs AS job SET
         state = CASE WHEN seen.id = ANY ($2) THEN 'accepted' ELSE state END::treadle.job_state,
         returns = CASE WHEN seen.id = ANY ($2) THEN abs(job.returns) + 1 ELSE job.returns END,
         bundle = CASE WHEN seen.id = ANY ($2) THEN NULL ELSE job.bundle END,
         relayed_at = CASE WHEN seen.id = ANY ($2) THEN NULL ELSE clock_timestamp() END
       FROM unnest($1::uuid[], $3::integer[], $4::text[]) AS seen (id, returns, bundle)
       WHERE job.id = seen.id AND job.returns = seen.returns AND job.bundle IS NOT DISTINCT FROM seen.bundle
         AND state IN ('waiting', 'active')`,
      [rows.map(({ id }) => id), lost, rows.map(({ returns }) => returns), rows.map(({ bundle }) => bundle)],
    );
    if (lost.length > 0) this.#log.warn({ event: 'reconciler.jobs-lost', queue: transport.queue, jobs: lost.length });
    return lost.length;
  }
}
