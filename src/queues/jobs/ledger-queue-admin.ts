import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { JobRegistry } from '../job-registry.ts';
import type { JobState } from '../ledger/job-record.ts';
import type { QueueAdmin, QueueSummary } from '../ports.ts';
import type { Transports } from '../open-transports.ts';
import { countFinished } from './count-finished.ts';

export interface QueueAdminParts {
  readonly postgres: Postgres;
  readonly registry: JobRegistry;
  readonly transports: Transports;
}

interface OpenRow extends Record<string, unknown> {
  readonly queue: string;
  readonly state: JobState;
  readonly jobs: number;
  readonly oldest_ms: number | null;
}

const mostRecent = 100_000;

interface RecentRow extends Record<string, unknown> {
  readonly queue: string;
  readonly per_minute: number;
  readonly p50: number | null;
  readonly p99: number | null;
}

const countOpen = `
  SELECT queue, state, count(*)::integer AS jobs,
    max(extract(epoch FROM now() - due_at) * 1000) FILTER (WHERE state IN ('accepted', 'waiting') AND due_at <= now())::float8 AS oldest_ms
  FROM treadle.jobs GROUP BY queue, state`;

/**
 * Start minus due: how long a job waited for a worker. Of very many jobs a part is read, and the minutes counted in which
 * that part finished.
 */
const measureRecent = `
  WITH recent AS MATERIALIZED (
    SELECT queue, finished_at, greatest(0, extract(epoch FROM started_at - due_at) * 1000)::float8 AS waited
    FROM treadle.finished_jobs
    WHERE state = 'completed' AND finished_at > now() - interval '5 minutes' LIMIT ${mostRecent}
  ), span AS (
    SELECT CASE WHEN count(*) < ${mostRecent} THEN 5
      ELSE greatest(0.001, extract(epoch FROM max(finished_at) - min(finished_at)) / 60) END AS minutes
    FROM recent
  )
  SELECT queue, (count(*) / (SELECT minutes FROM span))::float8 AS per_minute,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS p50, percentile_cont(0.99) WITHIN GROUP (ORDER BY waited) AS p99
  FROM recent GROUP BY queue`;

const answerWithinMs = 2_000;

/** {@link QueueAdmin} over the ledger. */
export class LedgerQueueAdmin implements QueueAdmin {
  readonly #parts: QueueAdminParts;

  constructor(parts: QueueAdminParts) {
    this.#parts = parts;
  }

  async list(): Promise<readonly QueueSummary[]> {
    const { postgres, registry } = this.#parts;
    const [open, finished, recent, paused] = await Promise.all([
      postgres.query<OpenRow>(countOpen),
      countFinished(postgres),
      postgres.query<RecentRow>(measureRecent),
      postgres.query<{ name: string }>('SELECT name FROM treadle.queues WHERE paused'),
    ]);
    const pausedNames = new Set(paused.rows.map(({ name }) => name));
    return registry.queues.map(({ name, transport }) => {
      const own = open.rows.filter((row) => row.queue === name);
      const counted = [...own, ...finished.counts.filter((row) => row.queue === name)];
      const of = (state: JobState): number => counted.find((row) => row.state === state)?.jobs ?? 0;
      const measured = recent.rows.find((row) => row.queue === name);
      const ages = own.flatMap((row) => row.oldest_ms ?? []);
      return {
        name,
        transport,
        paused: pausedNames.has(name),
        counts: countsOf(of),
        finishedEstimated: finished.estimated,
        oldestWaitingMs: ages.length > 0 ? Math.max(...ages) : null,
        relayLagMs: own.find(({ state }) => state === 'accepted')?.oldest_ms ?? null,
        completedPerMinute: measured?.per_minute ?? 0,
        latencyMs: { p50: measured?.p50 ?? null, p99: measured?.p99 ?? null },
      };
    });
  }

  pause(queue: string): Promise<void> {
    return this.#setPaused(queue, true);
  }

  resume(queue: string): Promise<void> {
    return this.#setPaused(queue, false);
  }

  /** Postgres first: the relay stops feeding the queue even while its server is away; then what waits in the queue stands still too. */
  async #setPaused(queue: string, paused: boolean): Promise<void> {
    this.#parts.registry.queue(queue);
    await this.#parts.postgres.query(
      `INSERT INTO treadle.queues (name, paused) VALUES ($1, $2)
       ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, updated_at = now()`,
      [queue, paused],
    );
    const transport = await this.#parts.transports.of(queue);
    // While the queue's server is away, the relay tells it when it is back.
    await withTimeout(transport.setPaused(paused), answerWithinMs, queue).catch(() => undefined);
  }
}

const countsOf = (of: (state: JobState) => number): QueueSummary['counts'] => ({
  accepted: of('accepted'),
  waiting: of('waiting'),
  delayed: of('delayed'),
  active: of('active'),
  'waiting-children': of('waiting-children'),
  completed: of('completed'),
  dead: of('dead'),
  cancelled: of('cancelled'),
});
