/** A queue: how many of its jobs one worker process runs at once, and what carries them. */
export interface QueueDefinition {
  readonly name: string;
  readonly transport: 'bullmq' | 'pg-boss';
  readonly concurrency: number;
  /** How long a job stays a silent worker's; after it, somebody else takes the job. */
  readonly lockMs: number;
}

/** Defines a queue. Defaults: BullMQ, 20 jobs at once, a lock of 15 s. */
export const defineQueue = (queue: Pick<QueueDefinition, 'name'> & Partial<QueueDefinition>): QueueDefinition =>
  Object.freeze({ transport: 'bullmq', concurrency: 20, lockMs: 15_000, ...queue });

/** The queues every Treadle has. */
export const builtInQueues: readonly QueueDefinition[] = [
  defineQueue({ name: 'default' }),
  defineQueue({ name: 'embeddings', concurrency: 16 }),
  defineQueue({ name: 'maintenance', transport: 'pg-boss', concurrency: 2 }),
];
