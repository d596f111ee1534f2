import { builtInContracts } from './jobs/built-in-jobs.ts';
import { builtInSchedules } from './jobs/built-in-schedules.ts';
import type { Config } from './lib/config/load-config.ts';
import { KeyRing } from './lib/crypto/key-ring.ts';
import type { AppJobs } from './queues/app-jobs/define-jobs.ts';
import { loadAppJobs } from './queues/app-jobs/load-app-jobs.ts';
import { builtInQueues } from './queues/define-queue.ts';
import { JobRegistry } from './queues/job-registry.ts';

/** What TREADLE_JOBS names. @throws AppError CONFIGURATION_ERROR, see {@link loadAppJobs}. */
export const loadJobs = (config: Config): Promise<AppJobs> =>
  loadAppJobs(config.jobs, {
    contracts: builtInContracts,
    handlers: [],
    queues: builtInQueues,
    schedules: builtInSchedules,
    sagas: [],
    consumers: [],
    dataMigrations: [],
  });

/** Treadle's own contracts and queues, and the given ones, with the keys of the configuration. */
export const createRegistry = (
  { encryptionKeys }: Pick<Config, 'encryptionKeys'>,
  ...given: readonly Partial<Pick<AppJobs, 'contracts' | 'queues'>>[]
): JobRegistry =>
  new JobRegistry(
    [...builtInContracts, ...given.flatMap(({ contracts = [] }) => contracts)],
    [...builtInQueues, ...given.flatMap(({ queues = [] }) => queues)],
    new KeyRing(encryptionKeys),
  );
