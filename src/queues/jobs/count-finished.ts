import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { JobState } from '../ledger/job-record.ts';

export interface FinishedCount {
  readonly queue: string;
  readonly state: JobState;
  readonly jobs: number;
}

export interface FinishedCounts {
  readonly counts: readonly FinishedCount[];
  /** Not every page was read: the counts are good to a few in a hundred. */
  readonly estimated: boolean;
}

/** Of each kind of finished jobs at most about so many pages are read: 32 MB, some tens of thousands of jobs. */
const pagesRead = 4_000;

const sizes = `
  SELECT
    (SELECT coalesce(sum(pg_relation_size(relid)), 0) FROM pg_partition_tree('treadle.finished_jobs_done') WHERE isleaf)::float8
      / current_setting('block_size')::integer AS done,
    (SELECT coalesce(sum(pg_relation_size(relid)), 0) FROM pg_partition_tree('treadle.finished_jobs_dead') WHERE isleaf)::float8
      / current_setting('block_size')::integer AS dead`;

/** The same pages each time, so that the estimates of two looks can be compared. */
const counted = `
  SELECT queue, state, round(count(*) * 100 / $1::float8)::float8 AS jobs
  FROM treadle.finished_jobs_done TABLESAMPLE SYSTEM ($1) REPEATABLE (1) GROUP BY queue, state
  UNION ALL
  SELECT queue, state, round(count(*) * 100 / $2::float8)::float8
  FROM treadle.finished_jobs_dead TABLESAMPLE SYSTEM ($2) REPEATABLE (1) GROUP BY queue, state`;

const percentOf = (pages: number): number => Math.min(100, (100 * pagesRead) / Math.max(1, pages));

/** Counts finished jobs by queue and state: exactly while they are few, else from a sample of the tables' pages. */
export const countFinished = async (postgres: Postgres): Promise<FinishedCounts> => {
  const { rows: sized } = await postgres.query<{ done: number; dead: number }>(sizes);
  const [{ done, dead } = { done: 0, dead: 0 }] = sized;
  const percents = [percentOf(done), percentOf(dead)];
  const { rows } = await postgres.query<{ queue: string; state: JobState; jobs: number }>(counted, percents);
  return { counts: rows, estimated: percents.some((percent) => percent < 100) };
};
