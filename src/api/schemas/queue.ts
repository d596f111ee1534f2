import { z } from 'zod';
import { jobState } from './job.ts';

export const queueName = z.string().min(1).max(200);

export const queue = z
  .object({
    name: z.string(),
    transport: z.enum(['bullmq', 'pg-boss']),
    paused: z.boolean(),
    counts: z.record(jobState, z.number()),
    oldestWaitingMs: z.number().nullable().describe('Age of the oldest job that may run and does not yet'),
    completedPerMinute: z.number().describe('Over the last five minutes'),
    latencyMs: z.object({ p50: z.number().nullable(), p99: z.number().nullable() }),
  })
  .meta({ id: 'Queue' });

export const schedule = z
  .object({
    name: z.string(),
    jobName: z.string(),
    payload: z.record(z.string(), z.unknown()),
    options: z.record(z.string(), z.unknown()),
    cron: z.string(),
    timeZone: z.string(),
    misfire: z.enum(['skip', 'once', 'all']),
    paused: z.boolean(),
    builtIn: z.boolean(),
    lastFireAt: z.date().nullable(),
    nextFireAt: z.date().nullable(),
  })
  .meta({ id: 'Schedule' });

export const scheduleBody = z.strictObject({
  jobName: z.string().min(1).max(200),
  payload: z.record(z.string(), z.unknown()).optional(),
  options: z.record(z.string(), z.unknown()).optional(),
  cron: z.string().min(1).max(200).describe('Five fields, or six with seconds first'),
  timeZone: z.string().min(1).max(100).optional().describe('An IANA time zone; UTC by default'),
  misfire: z
    .enum(['skip', 'once', 'all'])
    .optional()
    .describe('What to do about fire times that nobody was there for; `once` by default'),
  paused: z.boolean().optional(),
});
