import { z } from 'zod';
import { defineJob } from '../../queues/define-job.ts';

/**
 * Runs a saga from where its journal says that it stands. Enqueued with the saga, with as many attempts as its steps have
 * together; how long it waits after a failure is the step's to say.
 */
export const runSaga = defineJob({
  name: 'sagas.run',
  queue: 'sagas',
  payload: z.strictObject({ sagaId: z.uuid(), workspaceId: z.uuid().optional() }),
  result: z.object({
    sagaId: z.string(),
    state: z.enum(['completed', 'compensated']),
    /** Of the last step. */
    result: z.unknown(),
  }),
  attempts: 25,
  timeoutMs: 3_600_000,
});
