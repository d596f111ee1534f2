import type { JobContract } from '../queues/define-job.ts';
import type { JobHandler } from '../queues/handle.ts';

/** The contracts of the jobs that Treadle brings. */
export const builtInContracts: readonly JobContract[] = [];

/** Their handlers, loaded by workers only. */
export const loadBuiltInHandlers = async (): Promise<readonly JobHandler[]> => [];
