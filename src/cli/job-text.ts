import type { JobRecord } from '../queues/ledger/job-record.ts';
import { durationText } from '../lib/terminal/duration-text.ts';
import { properties, table, type Column } from '../lib/terminal/table.ts';

const jobColumns: readonly Column<JobRecord>[] = [
  { title: 'id', value: (job) => job.id },
  { title: 'name', value: (job) => job.name, maxWidth: 40 },
  { title: 'state', value: (job) => job.state },
  { title: 'attempts', value: (job) => `${job.attemptsMade}/${job.attemptsAllowed}`, align: 'right' },
  { title: 'created', value: (job) => job.createdAt },
  { title: 'finished', value: (job) => job.finishedAt },
  { title: 'error', value: (job) => job.error?.message ?? job.failures.at(-1)?.error.message ?? '', maxWidth: 60 },
];

/** Jobs as a table, the way lists of them are printed. */
export const jobTable = (jobs: readonly JobRecord[], empty: string): string => table(jobs, jobColumns, empty);

/** Everything about one job. */
export const jobText = (job: JobRecord): string => {
  const lines = properties([
    ['id', job.id],
    ['name', job.name],
    ['queue', job.queue],
    ['state', job.state],
    ['priority', job.priority],
    ['tenant', job.tenant || '-'],
    ['tags', job.tags.join(', ') || '-'],
    ['attempts', `${job.attemptsMade} of ${job.attemptsAllowed}`],
    ['created', job.createdAt],
    ['due', job.dueAt],
    ['started', job.startedAt],
    ['finished', job.finishedAt],
    ['worker', job.worker],
    ['progress', job.progress && `${Math.round(job.progress.fraction * 100)} % ${job.progress.note ?? ''}`],
    ['schedule', job.scheduleName],
    ['parent', job.parentId],
    ['payload', JSON.stringify(job.payload)],
    ['result', job.result === null || job.result === undefined ? '-' : JSON.stringify(job.result)],
    ['error', job.error && `${job.error.code}: ${job.error.message}`],
  ]);
  const failures = job.failures.map(
    ({ attempt, startedAt, durationMs, error }) =>
      `  attempt ${attempt}, ${startedAt}, ${durationText(durationMs)}: ${error.code}: ${error.message}`,
  );
  return failures.length === 0 ? lines : [lines, 'failed attempts', ...failures].join('\n');
};
