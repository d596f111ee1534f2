import { z } from 'zod';
import { tenantLimitSchema } from '../../queues/limits/limit.ts';
import { jobState } from './job.ts';

export const queueName = z.string().min(1).max(200);

export const queue = z
  .object({
    name: z.string(),
    transport: z.enum(['bullmq', 'pg-boss']),
    paused: z.boolean(),
    counts: z.record(jobState, z.number()),
    finishedEstimated: z.boolean().describe('There are so many finished jobs that their counts are estimates'),
    oldestWaitingMs: z.number().nullable().describe('Age of the oldest job that may run and does not yet'),
    relayLagMs: z.number().nullable().describe('Age of the oldest job that may run and that the relay has not picked'),
    completedPerMinute: z.number().describe('Over the last five minutes'),
    latencyMs: z.object({ p50: z.number().nullable(), p99: z.number().nullable() }),
  })
  .meta({ id: 'Queue' });

const rate = z.object({ max: z.number(), perMs: z.number() });
const limit = z.object({
  concurrency: z.number().optional().describe('Jobs at once, over all workers'),
  rate: rate.optional().describe('Jobs that begin in so many milliseconds, spread over them'),
});
const tenantLimit = limit.extend({
  weight: z.number().optional().describe('How many turns a tenant gets beside others, 1 by default'),
});

export const limits = z
  .object({
    queue: limit,
    tenants: tenantLimit.describe('Of every tenant without one of its own'),
    tenant: z.array(tenantLimit.extend({ tenant: z.string() })).readonly(),
  })
  .meta({ id: 'Limits' });

export const limitBody = z
  .strictObject({
    scope: z.enum(['queue', 'tenants', 'tenant']),
    tenant: z.string().optional(),
    limit: tenantLimitSchema.nullable(),
  })
  .refine(({ scope, tenant }) => (scope === 'tenant') === (tenant !== undefined), {
    path: ['tenant'],
    message: 'names the tenant when scope is tenant, and is not for other scopes',
  });

const misfire = z.enum(['skip', 'once', 'all']);

export const schedule = z
  .object({
    name: z.string(),
    jobName: z.string(),
    payload: z.record(z.string(), z.unknown()),
    options: z.record(z.string(), z.unknown()),
    cron: z.string().nullable(),
    timeZone: z.string().describe('Of `cron`; UTC for the others'),
    everyMs: z.number().nullable(),
    anchorAt: z.date().nullable().describe('From when `everyMs` counts'),
    at: z.date().nullable(),
    misfire,
    paused: z.boolean(),
    builtIn: z.boolean(),
    lastFireAt: z.date().nullable(),
    nextFireAt: z.date().nullable().describe('Null while paused, and when no fire time is left'),
  })
  .meta({ id: 'Schedule' });

/** Its fields' own rules are the store's, which names the faults of all of them together. */
export const scheduleBody = z
  .strictObject({
    jobName: z.string(),
    payload: z.record(z.string(), z.unknown()).optional(),
    options: z.record(z.string(), z.unknown()).optional(),
    cron: z.string().optional().describe('Five fields, or six with seconds first'),
    timeZone: z.string().optional().describe('An IANA time zone, for `cron` only; UTC by default'),
    everyMs: z.number().optional().describe('An interval in milliseconds, from 1000 (a second) to a year'),
    anchorAt: z
      .string()
      .optional()
      .describe('From when `everyMs` counts, as ISO 8601 with its offset; by default from when the schedule was made'),
    at: z.string().optional().describe('Once, then; ISO 8601 with its offset'),
    misfire: misfire.optional().describe('What to do about fire times that nobody was there for; `once` by default'),
    paused: z.boolean().optional(),
  })
  .describe('Exactly one of `cron`, `everyMs` and `at` is given');

export const scheduleFire = z
  .object({
    fireAt: z.date(),
    firedAt: z.date().describe('When a scheduler dealt with it'),
    lateMs: z.number(),
    byHand: z.boolean().describe('Somebody asked for this run'),
    skipped: z.boolean().describe('Dropped by the misfire policy: there is no job'),
    jobId: z.string().nullable(),
    jobState: jobState.nullable().describe('Null for a skipped one, and for a job that is no longer kept'),
  })
  .meta({ id: 'ScheduleFire' });
