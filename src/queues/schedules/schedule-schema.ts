import { z } from 'zod';
import { faultsOfCron } from './check-cron.ts';
import { faultOfTimeZone } from './fault-of-time-zone.ts';

const yearMs = 366 * 86_400_000;
const timeExample = 'must be a time with its offset, such as 2026-01-31T09:00:00Z';

const time = z.union([z.date(), z.iso.datetime({ offset: true }).transform((text) => new Date(text))], {
  error: timeExample,
});
const object = z.record(z.string(), z.unknown());
const everyRange = `must be a whole number from 1000 (a second) to ${yearMs} (a year)`;

/** When a schedule fires, as many of them as are given. */
const timings = ['cron', 'everyMs', 'at'] as const;

/** The name of a schedule. */
export const scheduleName = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?$/,
    'must be letters and digits, joined by dots, dashes, colons or underscores',
  );

/** What a schedule is to be, as it arrives from outside; what depends on the job is checked beside it. */
export const scheduleInput = z
  .strictObject({
    jobName: z.string(),
    payload: object.default({}),
    options: object.default({}),
    cron: z
      .string()
      .superRefine((cron, context) => {
        for (const message of faultsOfCron(cron)) context.addIssue({ code: 'custom', message });
      })
      .optional(),
    timeZone: z
      .string()
      .superRefine((name, context) => {
        const message = faultOfTimeZone(name);
        if (message !== undefined) context.addIssue({ code: 'custom', message });
      })
      .optional(),
    everyMs: z.int(everyRange).min(1_000, everyRange).max(yearMs, everyRange).optional(),
    anchorAt: time.optional(),
    at: time.optional(),
    misfire: z.enum(['skip', 'once', 'all']).default('once'),
    paused: z.boolean().optional(),
  })
  .check(
    z.superRefine((input, context) => {
      const given = timings.filter((timing) => input[timing] !== undefined);
      const fault = (path: string, message: string): void =>
        context.addIssue({ code: 'custom', path: [path], message });
      if (given.length === 0) fault('cron', 'is missing: give one of cron, everyMs and at');
      for (const timing of given.slice(1)) fault(timing, `cannot be given beside ${given[0]}`);
      if (input.timeZone !== undefined && input.timeZone !== 'UTC' && input.cron === undefined) {
        fault('timeZone', 'is for cron only');
      }
      if (input.anchorAt !== undefined && input.everyMs === undefined) fault('anchorAt', 'is for everyMs only');
    }),
  );
