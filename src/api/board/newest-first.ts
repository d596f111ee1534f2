import type { JobRecord } from '../../queues/ledger/job-record.ts';

/** In the order people look for jobs: finished ones by their end, the others by when they came. */
export const newestFirst = (jobs: readonly JobRecord[]): readonly JobRecord[] =>
  jobs.toSorted((a, b) => (b.finishedAt ?? b.createdAt).getTime() - (a.finishedAt ?? a.createdAt).getTime());
