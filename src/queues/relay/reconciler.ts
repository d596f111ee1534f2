import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { finishJobs } from '../ledger/ledger-writer.ts';
import { transportIdOf, type QueueTransport } from '../transport.ts';

export interface ReconcilerParts {
  readonly postgres: Postgres;
  readonly transports: readonly QueueTransport[];
  readonly log: Log;
  /** See {@link JobStore.cancelChildren}. */
  readonly cancelChildren: (jobId: string) => Promise<void>;
}

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

const sweepFlows = new URL('../flows/sweep-flows.sql', import.meta.url);
const batchSize = 500;
/** What was relayed since may be on its way to the queue still. */
const onItsWayMs = 5_000;
const answerWithinMs = 10_000;

/**
 * Finds jobs that the ledger believes to be in a queue which no longer knows them, and makes them ready again. Ends what
 * a crash left undone of flows.
 */
export class Reconciler {
  readonly #parts: ReconcilerParts;
  readonly #graceMs: number;
  /** By queue: how many outages there had been when it was last asked about everything. */
  readonly #outages = new Map<string, number>();

  constructor(parts: ReconcilerParts, options: ReconcilerOptions = {}) {
    this.#parts = parts;
    this.#graceMs = options.graceMs ?? 60_000;
  }

  /** Checks every queue once and answers how many jobs were made ready again. */
  async reconcile(): Promise<number> {
    let lost = await this.#sweep().catch((error: unknown) => {
      this.#parts.log.warn({ event: 'reconciler.sweep-failed', err: error });
      return 0;
    });
    for (const transport of this.#parts.transports) {
      lost += await this.#reconcileQueue(transport).catch((error: unknown) => {
        this.#parts.log.warn({ event: 'reconciler.queue-failed', queue: transport.queue, err: error });
        return 0;
      });
    }
    return lost;
  }

  /** Jobs whose cancellation was cut short between two steps, when they came back from their queue. */
  async #endCancelled(): Promise<void> {
    const { rows } = await this.#parts.postgres.query<{ id: string }>(
      `SELECT id FROM treadle.jobs WHERE cancel_requested AND state IN ('accepted', 'delayed', 'waiting-children') LIMIT ${batchSize}`,
    );
    if (rows.length > 0)
      await finishJobs(
        this.#parts.postgres,
        rows.map(({ id }) => ({ id, state: 'cancelled' })),
      );
  }

  async #sweep(): Promise<number> {
    await this.#endCancelled();
    const { rows } = await this.#parts.postgres.query<{ freed: number; ended: string[] }>(loadSql(sweepFlows));
    const { freed = 0, ended = [] } = rows[0] ?? {};
    for (const id of ended) await this.#parts.cancelChildren(id);
    return freed;
  }

  /** After an outage of its server, whose last second a failover may have lost, the queue is asked about all it should hold. */
  async #reconcileQueue(transport: QueueTransport): Promise<number> {
    const outages = transport.outages();
    const before = this.#outages.get(transport.queue) ?? outages;
    let lost = 0;
    if (outages !== before) {
      for (let asked = batchSize; asked === batchSize;) {
        const pass = await this.#askAbout(transport, '$2', onItsWayMs);
        asked = pass.asked;
        lost += pass.lost;
      }
    }
    this.#outages.set(transport.queue, outages);
    return lost + (await this.#askAbout(transport, 'timeout_ms + $2', this.#graceMs)).lost;
  }

  /** Asks about jobs of which nothing was heard for so long; `silence` is SQL, in milliseconds. */
  async #askAbout(
    transport: QueueTransport,
    silence: '$2' | 'timeout_ms + $2',
    ms: number,
  ): Promise<{ readonly asked: number; readonly lost: number }> {
    const { rows } = await this.#parts.postgres.query<OpenRow & Record<string, unknown>>(
      `SELECT id, returns, bundle FROM treadle.jobs
       WHERE queue = $1 AND state IN ('waiting', 'active')
         AND greatest(relayed_at, started_at) < now() - make_interval(secs => (${silence}) / 1000.0::float8)
       ORDER BY relayed_at LIMIT ${batchSize}`,
      [transport.queue, ms],
    );
    if (rows.length === 0) return { asked: 0, lost: 0 };
    const ids = [...new Set(rows.map(entryOf))];
    const known = await withTimeout(transport.known(ids), answerWithinMs, transport.queue);
    const lost = rows.filter((row) => !known.has(entryOf(row))).map(({ id }) => id);
    // Jobs that do wait in the queue are asked about again when the same time has passed once more.
    await this.#parts.postgres.query(
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
    if (lost.length > 0)
      this.#parts.log.warn({ event: 'reconciler.jobs-lost', queue: transport.queue, jobs: lost.length });
    return { asked: rows.length, lost: lost.length };
  }
}
