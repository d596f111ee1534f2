import { z } from 'zod';
import { longestDelayMs } from '../define-job.ts';
import { isStorable } from '../../lib/text/storable.ts';

const pace = z.number().int().min(0).max(longestDelayMs).optional();
const text = (max: number) => z.string().min(1).max(max).refine(isStorable, 'contains NUL or half of a surrogate pair');

/** The options of an enqueue as they arrive from outside; `runAt` may be a Date or an ISO 8601 text with its offset. */
export const enqueueOptionsSchema = z
  .strictObject({
    delayMs: pace,
    runAt: z.union([z.date(), z.iso.datetime({ offset: true }).transform((value) => new Date(value))]).optional(),
    debounceMs: pace,
    debounceMaxMs: pace,
    throttleMs: pace,
    priority: z.number().int().min(1).max(9).optional(),
    tenant: z.string().max(200).refine(isStorable, 'contains NUL or half of a surrogate pair').optional(),
    tags: z.array(text(100)).max(50).optional(),
    attempts: z.number().int().min(1).max(1_000).optional(),
    timeoutMs: z.number().int().min(1).max(86_400_000).optional(),
    deduplicationKey: text(500).optional(),
    idempotencyKey: text(500).optional(),
    parent: z.uuid().toLowerCase().optional(),
  })
  .refine((options) => options.delayMs === undefined || options.runAt === undefined, {
    path: ['runAt'],
    message: 'give delayMs or runAt, not both',
  })
  .refine((options) => options.deduplicationKey === undefined || options.parent === undefined, {
    path: ['deduplicationKey'],
    message: 'is not for a job with a parent: a child never stands for another job',
  })
  .superRefine((options, context) => {
    const [first, second] = (['delayMs', 'runAt', 'debounceMs', 'throttleMs'] as const).filter(
      (option) => options[option] !== undefined,
    );
    const paced = second === 'debounceMs' || second === 'throttleMs';
    if (paced) context.addIssue({ code: 'custom', path: [second], message: `cannot be given beside ${first}` });
  });

export type ParsedOptions = z.output<typeof enqueueOptionsSchema>;
