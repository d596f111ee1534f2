import { z } from 'zod';
import { defineJob } from '../../../src/queues/define-job.ts';

const common = {
  queue: 'threads',
  payload: z.object({
    how: z.string(),
    ms: z.number().default(0),
    file: z.string().optional(),
    secret: z.string().optional(),
    at: z.iso
      .datetime()
      .transform((text) => new Date(text))
      .optional(),
  }),
  redact: ['secret'],
  attempts: 1,
  timeoutMs: 20_000,
  backoff: { type: 'fixed', delayMs: 1 },
} as const;

/** Does what it is told to, in a thread. */
export const act = defineJob({ ...common, name: 'threads.act' });

/** The same with little memory. */
export const frugal = defineJob({ ...common, name: 'threads.frugal' });

/** In the process of the worker. */
export const beside = defineJob({ name: 'threads.beside', queue: 'threads', payload: z.object({ n: z.number() }) });
