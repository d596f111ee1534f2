import type { JobRecord } from '../queues/ledger/job-record.ts';
import type { JobStore } from '../queues/ports.ts';
import { openProgressBar } from '../lib/terminal/progress-bar.ts';
import type { Output } from './output.ts';

const whole = 100;

interface FollowOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly output: Output;
}

const noteOf = ({ state, failures, progress }: JobRecord): string =>
  [state, failures.length > 0 ? `failed attempts: ${failures.length}` : '', progress?.note ?? '']
    .filter(Boolean)
    .join(', ');

/** Waits for the job as {@link JobStore.wait} does; on a terminal a bar shows how far it is. */
export const followJob = async (
  jobs: JobStore,
  id: string,
  { timeoutMs, signal, output }: FollowOptions,
): Promise<JobRecord | undefined> => {
  const bar = await openProgressBar(id, '%', output);
  const deadline = AbortSignal.timeout(Math.max(1, timeoutMs));
  let last: JobRecord | undefined;
  try {
    for await (const { job } of jobs.watch(id, AbortSignal.any([deadline, signal]))) {
      last = job;
      bar.update(Math.round((job.progress?.fraction ?? 0) * whole), whole, noteOf(job));
    }
    return last;
  } finally {
    bar.stop();
  }
};
