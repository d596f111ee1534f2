import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import type { JobContract } from '../define-job.ts';
import { enqueueOptionsSchema } from '../enqueue/enqueue-options.ts';
import { serializeJson } from '../enqueue/serialize-payload.ts';
import { valuesAt } from '../payloads/value-paths.ts';
import type { MisfirePolicy, ScheduleInput } from '../ports.ts';
import { scheduleInput, scheduleName } from './schedule-schema.ts';

export type FindContract = (name: string) => JobContract | undefined;

export interface ScheduleChecks {
  readonly findContract: FindContract;
  /** Whether it is too late for a one-off schedule of this time. */
  readonly isTooLate: (at: Date) => boolean;
}

/** A schedule that passed every check, as it is stored. */
export interface CheckedSchedule {
  readonly name: string;
  readonly jobName: string;
  readonly payloadJson: string;
  readonly optionsJson: string;
  readonly cron: string | null;
  readonly timeZone: string;
  readonly everyMs: number | null;
  /** Null: as it is, or from now. */
  readonly anchorAt: Date | null;
  readonly at: Date | null;
  readonly misfire: MisfirePolicy;
  /** Null leaves it as it is. */
  readonly paused: boolean | null;
}

/** Options that make no sense for a job that is made again and again. */
const notForSchedules = ['runAt', 'idempotencyKey', 'parent'];

const faultsOfOptions = (options: Readonly<Record<string, unknown>>): readonly Fault[] => {
  const misplaced = notForSchedules
    .filter((option) => options[option] !== undefined)
    .map((option) => ({ path: `options.${option}`, message: 'is not for schedules' }));
  const parsed = safeParse(enqueueOptionsSchema, options);
  return parsed.success ? misplaced : [...misplaced, ...faultsOf(parsed.error, ['options'])];
};

const faultsOfJob = (contract: JobContract | undefined, payload: unknown): readonly Fault[] => {
  if (!contract) return [{ path: 'jobName', message: 'there is no such job' }];
  const parsed = safeParse(contract.payload, payload);
  const hidden = [...contract.encrypt, ...contract.redact].filter((path) => valuesAt(payload, [path]).length > 0);
  return [
    ...(parsed.success ? [] : faultsOf(parsed.error, ['payload'])),
    ...hidden.map((path) => ({ path: `payload.${path}`, message: 'cannot be kept in a schedule: the job hides it' })),
  ];
};

const serialize = (value: unknown, path: string): { readonly json: string; readonly faults: readonly Fault[] } => {
  const serialized = serializeJson(value);
  if ('json' in serialized) return { json: serialized.json, faults: [] };
  return {
    json: '',
    faults: serialized.faults.map((fault) => ({ ...fault, path: fault.path ? `${path}.${fault.path}` : path })),
  };
};

/**
 * Checks a schedule whole: name, times, job, its payload and options.
 * @throws AppError VALIDATION_ERROR naming every fault.
 */
export const checkSchedule = (
  name: string,
  input: ScheduleInput,
  { findContract, isTooLate }: ScheduleChecks,
): CheckedSchedule => {
  const parsedName = safeParse(scheduleName, name);
  const parsed = safeParse(scheduleInput, input);
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
  if (parsed.data?.at && isTooLate(parsed.data.at)) {
    faults.push({ path: 'at', message: 'has passed already: the schedule could never fire' });
  }
  if (faults.length > 0 || !parsed.success) throw validationError(`the schedule ${JSON.stringify(name)}`, faults);
  const { cron, timeZone = 'UTC', everyMs = null, anchorAt = null, at = null, misfire, paused = null } = parsed.data;
  return {
    name,
    jobName,
    payloadJson: payloadText.json,
    optionsJson: optionsText.json,
    cron: cron?.trim().replaceAll(/\s+/g, ' ') ?? null,
    timeZone,
    everyMs,
    anchorAt,
    at,
    misfire,
    paused,
  };
};
