import { z } from 'zod';
import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf } from '../../lib/errors/zod-faults.ts';
import type { JobContract } from '../define-job.ts';
import { enqueueOptionsSchema } from '../enqueue/enqueue-options.ts';
import { serializeJson } from '../enqueue/serialize-payload.ts';
import type { ScheduleInput } from '../ports.ts';
import { faultsOfCron } from './check-cron.ts';

export type FindContract = (name: string) => JobContract | undefined;

/** A schedule that passed every check, as it is stored. */
export interface CheckedSchedule {
  readonly name: string;
  readonly jobName: string;
  readonly payloadJson: string;
  readonly optionsJson: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly misfire: 'skip' | 'once' | 'all';
  /** Undefined leaves it as it is. */
  readonly paused: boolean | undefined;
}

const isTimeZone = (name: string): boolean => {
  try {
    return Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
};

const nameSchema = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?$/,
    'must be letters and digits, joined by dots, dashes, colons or underscores',
  );

const inputSchema = z.strictObject({
  jobName: z.string(),
  payload: z.record(z.string(), z.unknown()).default({}),
  options: z.record(z.string(), z.unknown()).default({}),
  cron: z.string().superRefine((cron, context) => {
    for (const message of faultsOfCron(cron)) context.addIssue({ code: 'custom', message });
  }),
  // Intl also takes offsets such as +02:00, which know no daylight saving.
  timeZone: z
    .string()
    .refine((name) => /^[A-Za-z]/.test(name) && isTimeZone(name), 'must be an IANA time zone such as Europe/Berlin')
    .default('UTC'),
  misfire: z.enum(['skip', 'once', 'all'], { message: 'must be skip, once or all' }).default('once'),
  paused: z.boolean().optional(),
});

/** Options that make no sense for a job that is made again and again. */
const notForSchedules = ['runAt', 'idempotencyKey', 'parent'];

const faultsOfOptions = (options: Readonly<Record<string, unknown>>): readonly Fault[] => {
  const misplaced = notForSchedules
    .filter((option) => options[option] !== undefined)
    .map((option) => ({ path: `options.${option}`, message: 'is not for schedules' }));
  const parsed = enqueueOptionsSchema.safeParse(options);
  return parsed.success ? misplaced : [...misplaced, ...faultsOf(parsed.error, ['options'])];
};

const faultsOfJob = (contract: JobContract | undefined, payload: unknown): readonly Fault[] => {
  if (!contract) return [{ path: 'jobName', message: 'there is no such job' }];
  const parsed = contract.payload.safeParse(payload);
  return parsed.success ? [] : faultsOf(parsed.error, ['payload']);
};

const serialize = (
  value: Readonly<Record<string, unknown>>,
  path: string,
): { readonly json: string; readonly faults: readonly Fault[] } => {
  const serialized = serializeJson(value);
  if ('json' in serialized) return { json: serialized.json, faults: [] };
  return {
    json: '',
    faults: serialized.faults.map((fault) => ({ ...fault, path: fault.path ? `${path}.${fault.path}` : path })),
  };
};

/**
 * Checks a schedule whole: name, cron, time zone, job, its payload and options.
 * @throws AppError VALIDATION_ERROR naming every fault.
 */
export const checkSchedule = (name: string, input: ScheduleInput, findContract: FindContract): CheckedSchedule => {
  const parsedName = nameSchema.safeParse(name);
  const parsed = inputSchema.safeParse(input);
  const faults: Fault[] = [];
  if (!parsedName.success) faults.push(...faultsOf(parsedName.error, ['name']));
  if (!parsed.success) faults.push(...faultsOf(parsed.error));
  const { jobName, payload = {}, options = {} } = parsed.success ? parsed.data : input;
  const payloadText = serialize(payload, 'payload');
  const optionsText = serialize(options, 'options');
  faults.push(...payloadText.faults, ...optionsText.faults);
  const isNamed = (path: string): boolean => faults.some((fault) => fault.path.startsWith(path));
  if (!isNamed('jobName') && !isNamed('payload')) faults.push(...faultsOfJob(findContract(jobName), payload));
  if (!isNamed('options')) faults.push(...faultsOfOptions(options));
  if (faults.length > 0 || !parsed.success) throw validationError(`the schedule ${JSON.stringify(name)}`, faults);
  return {
    name,
    jobName,
    payloadJson: payloadText.json,
    optionsJson: optionsText.json,
    cron: parsed.data.cron.trim().replaceAll(/\s+/g, ' '),
    timeZone: parsed.data.timeZone,
    misfire: parsed.data.misfire,
    paused: parsed.data.paused,
  };
};
