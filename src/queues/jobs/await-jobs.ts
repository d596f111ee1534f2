import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../lib/errors/app-error.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { countWorkers } from '../relay/worker-count.ts';
import { countOpenJobs, jobStatistics, type JobStatistics } from './job-statistics.ts';

export interface AwaitJobsOptions {
  readonly name: string;
  /** The queue the jobs are in, to know whether anybody works on it. */
  readonly queue: string;
  readonly tenant?: string | undefined;
  /** Of which jobs the answer tells: those accepted at this time or later. */
  readonly since: Date;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

const pollMs = 250;
/** A worker that starts in the same moment gets so long to be seen. */
const workerPatienceMs = 5_000;

/**
 * Waits until no job of this name and tenant is open, and answers what became of them; undefined when there were none.
 * @throws AppError SERVICE_UNAVAILABLE when no worker runs for the queue, TIMEOUT; the signal's reason.
 */
export const awaitJobs = async (db: Queryable, options: AwaitJobsOptions): Promise<JobStatistics | undefined> => {
  const { name, queue, tenant, since, timeoutMs, signal, onProgress } = options;
  const startedAt = performance.now();
  for (let most = 0; ;) {
    const open = await countOpenJobs(db, { name, tenant });
    most = Math.max(most, open);
    onProgress?.(most - open, most);
    if (open === 0) break;
    const waitedMs = performance.now() - startedAt;
    if (waitedMs > workerPatienceMs && !(await countWorkers(db)).get(queue)) {
      const message = `no worker runs for the queue ${queue}: ${open} jobs wait until one is started (treadle start worker scheduler)`;
      throw new AppError('SERVICE_UNAVAILABLE', message, { service: 'worker' });
    }
    if (waitedMs > timeoutMs) {
      throw new AppError('TIMEOUT', `${open} jobs have not finished in time`, { timeoutMs });
    }
    await delay(pollMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
  const [finished] = await jobStatistics(db, { name, tenant, since });
  return finished;
};
