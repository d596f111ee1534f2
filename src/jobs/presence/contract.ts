import { z } from 'zod';
import { defineJob } from '../../queues/define-job.ts';

const counted = z.number().int().min(0);

/** Takes out of documents whom nobody has heard of for half an hour, and tells those who watch. */
export const cleanInactive = defineJob({
  name: 'presence.clean-inactive',
  queue: 'presence',
  payload: z.strictObject({}),
  result: z.object({ connections: counted, users: counted }),
  // The next one comes in a minute.
  attempts: 2,
  timeoutMs: 300_000,
});
