import { z } from 'zod';
import { parseOrThrow } from '../lib/errors/zod-faults.ts';
import { limitSchema, tenantLimitSchema, type Limit, type TenantLimit } from './limits/limit.ts';

/** A queue: how many of its jobs one worker process runs at once, and what carries them. */
export interface QueueDefinition {
  readonly name: string;
  readonly transport: 'bullmq' | 'pg-boss';
  readonly concurrency: number;
  /** How long a job stays a silent worker's; after it, somebody else takes the job. */
  readonly lockMs: number;
  /** Of all its jobs together, over all workers. */
  readonly limit?: Limit;
  /** Of each of its tenants. */
  readonly tenantLimit?: TenantLimit;
}

const rules = z.object({
  name: z
    .string()
    .max(100)
    .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'must be lower case words joined by dashes'),
  concurrency: z.number().int().min(1).max(10_000),
  lockMs: z.number().int().min(500).max(3_600_000),
  limit: limitSchema.optional(),
  tenantLimit: tenantLimitSchema.optional(),
});

/**
 * Defines a queue. Defaults: BullMQ, 20 jobs at once in each worker process, a lock of 15 s, no limits.
 * @throws AppError VALIDATION_ERROR naming what is wrong with the definition.
 */
export const defineQueue = (queue: Pick<QueueDefinition, 'name'> & Partial<QueueDefinition>): QueueDefinition => {
  const definition: QueueDefinition = { transport: 'bullmq', concurrency: 20, lockMs: 15_000, ...queue };
  parseOrThrow(rules.loose(), definition, `the queue ${JSON.stringify(queue.name)}`);
  return Object.freeze(definition);
};

/** The queues every Treadle has. */
export const builtInQueues: readonly QueueDefinition[] = [
  defineQueue({ name: 'cache', concurrency: 2 }),
  defineQueue({ name: 'default' }),
  defineQueue({ name: 'embeddings', concurrency: 16 }),
  defineQueue({ name: 'presence' }),
  defineQueue({ name: 'sagas' }),
  defineQueue({ name: 'search' }),
  defineQueue({ name: 'maintenance', transport: 'pg-boss', concurrency: 2 }),
];
