import { z } from 'zod';
import { defineJob } from '../../queues/define-job.ts';

/** Of the searches of days that are over, keeps what trends show and forgets the tail of rare queries. */
export const flushAnalytics = defineJob({
  name: 'search.flush-analytics',
  queue: 'search',
  payload: z.strictObject({}),
  result: z.object({ queriesForgotten: z.number().int().min(0) }),
  timeoutMs: 600_000,
});
