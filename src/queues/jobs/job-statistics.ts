import type { Queryable } from '../../lib/postgres/queryable.ts';

/** What became of the jobs of one name. */
export interface JobStatistics {
  readonly name: string;
  /** Accepted and not finished. */
  readonly open: number;
  readonly completed: number;
  readonly dead: number;
  readonly cancelled: number;
  /** Attempts that failed, of jobs that completed later too. */
  readonly failedAttempts: number;
  /** How long the last attempt of completed jobs ran. */
  readonly durationMs: { readonly p50: number | null; readonly p99: number | null };
}

export interface StatisticsFilter {
  /** Jobs accepted at this time or later. */
  readonly since?: Date | undefined;
  readonly name?: string | undefined;
  readonly tenant?: string | undefined;
}

const statistics = `
  SELECT name,
    count(*) FILTER (WHERE finished_at IS NULL)::integer AS open,
    count(*) FILTER (WHERE state = 'completed')::integer AS completed,
    count(*) FILTER (WHERE state = 'dead')::integer AS dead,
    count(*) FILTER (WHERE state = 'cancelled')::integer AS cancelled,
    sum(jsonb_array_length(failures))::integer AS failed_attempts,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ran_ms) FILTER (WHERE state = 'completed') AS p50,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY ran_ms) FILTER (WHERE state = 'completed') AS p99
  FROM (
    SELECT name, state, failures, finished_at, extract(epoch FROM finished_at - started_at)::float8 * 1000 AS ran_ms
    FROM treadle.all_jobs
    WHERE ($1::timestamptz IS NULL OR created_at >= $1) AND ($2::text IS NULL OR name = $2)
      AND ($3::text IS NULL OR tenant = $3)) AS jobs
  GROUP BY name ORDER BY name`;

interface StatisticsRow extends Record<string, unknown> {
  readonly name: string;
  readonly open: number;
  readonly completed: number;
  readonly dead: number;
  readonly cancelled: number;
  readonly failed_attempts: number;
  readonly p50: number | null;
  readonly p99: number | null;
}

/** Counts and durations by job name, in the order of names. Reads every job that matches: for reports, not for polling. */
export const jobStatistics = async (
  db: Queryable,
  { since, name, tenant }: StatisticsFilter = {},
): Promise<readonly JobStatistics[]> => {
  const { rows } = await db.query<StatisticsRow>(statistics, [since ?? null, name ?? null, tenant ?? null]);
  return rows.map(({ failed_attempts: failedAttempts, p50, p99, ...counts }) => ({
    ...counts,
    failedAttempts,
    durationMs: { p50, p99 },
  }));
};

/** How many jobs of this name are accepted and not finished; cheap enough to be asked again and again. */
export const countOpenJobs = async (
  db: Queryable,
  { name, tenant }: { readonly name: string; readonly tenant?: string | undefined },
): Promise<number> => {
  const { rows } = await db.query<{ jobs: number }>(
    'SELECT count(*)::integer AS jobs FROM treadle.jobs WHERE name = $1 AND ($2::text IS NULL OR tenant = $2)',
    [name, tenant ?? null],
  );
  return rows[0]?.jobs ?? 0;
};
