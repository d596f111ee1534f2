import type { PreparedJob } from '../enqueue/prepare-job.ts';

type Sized = Pick<PreparedJob, 'largeBytes'>;

const mostJobs = 1_000;
const mostLargeBytes = 33_554_432;

/** Cuts a list into what one statement takes: so many jobs, and of large payloads so much. */
export const batchesOf = <T>(all: readonly T[], jobOf: (one: T) => Sized): readonly (readonly T[])[] => {
  const batches: T[][] = [];
  let bytes = 0;
  for (const one of all) {
    const size = jobOf(one).largeBytes ?? 0;
    const last = batches.at(-1);
    if (last && last.length < mostJobs && bytes + size <= mostLargeBytes) {
      last.push(one);
      bytes += size;
    } else {
      batches.push([one]);
      bytes = size;
    }
  }
  return batches;
};
