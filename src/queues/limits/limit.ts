import { z } from 'zod';

/** At most `max` begin in `perMs`, spread over it: at once no more than a second's worth. */
export interface Rate {
  readonly max: number;
  readonly perMs: number;
}

/** What all workers together keep to. What is not given is not limited. */
export interface Limit {
  /** Jobs at once, those included that wait in the queue for a worker. */
  readonly concurrency?: number | undefined;
  readonly rate?: Rate | undefined;
}

export interface TenantLimit extends Limit {
  /** How much of the queue a tenant gets beside others, 1 by default: one of weight 2 gets twice the turns. */
  readonly weight?: number | undefined;
}

const rateSchema = z.strictObject({
  max: z.number().int().min(1).max(1_000_000),
  perMs: z.number().int().min(1).max(86_400_000),
});
export const limitSchema = z.strictObject({
  concurrency: z.number().int().min(1).max(1_000_000).optional(),
  rate: rateSchema.optional(),
});
export const tenantLimitSchema = limitSchema.extend({
  weight: z.number().min(0.001).max(1_000).optional(),
});
