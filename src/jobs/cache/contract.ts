import { z } from 'zod';
import { defineJob } from '../../queues/define-job.ts';

const count = z.number().int().min(0);

/** Reads what will be asked for of a workspace. Lost with the queue: the next hour asks for it again. */
export const warmWorkspace = defineJob({
  name: 'cache.warm-workspace',
  queue: 'cache',
  payload: z.strictObject({ workspaceId: z.uuid() }),
  result: z.object({ documents: count, fresh: count, tags: count }),
  attempts: 3,
  timeoutMs: 300_000,
  priority: 7,
  durability: 'queue',
});

/** Has those workspaces warmed for which it was two o'clock in the night since they last were. */
export const warmDueWorkspaces = defineJob({
  name: 'cache.warm-due-workspaces',
  queue: 'cache',
  payload: z.strictObject({}),
  result: z.object({ workspaces: count }),
  timeoutMs: 120_000,
});
