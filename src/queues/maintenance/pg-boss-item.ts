import { v5 as uuidV5 } from 'uuid';
import { z } from 'zod';
import type { Envelope, QueueItem } from '../transport.ts';

/** Namespace of the ids below; drawn once at random. */
const namespace = '6f1f8a52-5b0e-4c3c-9d5e-0f6d2f3f9a41';

/**
 * pg-boss' id, which must be a UUID, for an item's id in its queue: the ledger's own for a job that was never returned,
 * else a version 5 UUID of it (RFC 9562).
 */
export const pgBossIdOf = (transportId: string): string =>
  transportId.includes('.') ? uuidV5(transportId, namespace) : transportId;

const itemSchema = z.object({
  id: z.string(),
  name: z.string(),
  envelope: z.object({
    payload: z.record(z.string(), z.unknown()).nullable(),
    tenant: z.string(),
    attemptsMade: z.number(),
    attemptsAllowed: z.number(),
    timeoutMs: z.number(),
    returns: z.number(),
    tracked: z.boolean(),
    awaits: z.number().exactOptional(),
    childrenFailed: z.number().exactOptional(),
    limited: z.boolean().exactOptional(),
    unsure: z.boolean().exactOptional(),
    dueMs: z.number().exactOptional(),
    traceparent: z.string().exactOptional(),
  } satisfies Record<keyof Envelope, z.ZodType>),
});

/** What pg-boss keeps of an item; read back with {@link parseItem}. */
export const dataOf = ({ id, name, envelope }: QueueItem): object => ({ id, name, envelope });

/** The item in a pg-boss job's data; undefined for a job that somebody else put into the queue. */
export const parseItem = (data: unknown): QueueItem | undefined => {
  const parsed = itemSchema.safeParse(data);
  return parsed.success ? parsed.data : undefined;
};
