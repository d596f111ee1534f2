import { z } from 'zod';
import type { AttemptInfo } from '../../queues/handle.ts';
import { wireError } from './wire-error.ts';

/** Which module a thread is to use, and the job that it must be for. */
const module = { module: z.string(), name: z.string() };

const attemptInfo: z.ZodType<AttemptInfo> = z.object({
  id: z.string(),
  name: z.string(),
  queue: z.string(),
  tenant: z.string(),
  attempt: z.number(),
  attemptsAllowed: z.number(),
});

/** What a worker says to one of its threads. A thread has one request at a time. */
export const toThread = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('load'), ...module }),
  z.object({ kind: z.literal('run'), ...module, payload: z.unknown(), job: attemptInfo, logLevel: z.string() }),
  z.object({
    kind: z.literal('abort'),
    cause: z.enum(['deadline', 'cancelled', 'shutdown', 'lock-lost']),
    message: z.string(),
  }),
]);
export type ToThread = z.infer<typeof toThread>;

/** What a thread says: progress, and one answer to each request. */
export const fromThread = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('progress'), fraction: z.number(), note: z.string().optional() }),
  z.object({ kind: z.literal('loaded') }),
  z.object({ kind: z.literal('completed'), resultJson: z.string() }),
  /** Any other outcome; its error, if it has one, apart. */
  z.object({ kind: z.literal('ended'), outcome: z.unknown(), error: wireError.optional() }),
  z.object({ kind: z.literal('threw'), error: wireError }),
]);
export type FromThread = z.infer<typeof fromThread>;
