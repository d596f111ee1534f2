import type { JobContract, PayloadInputOf } from './define-job.ts';
import type { EnqueueOptions, MisfirePolicy, ScheduleInput } from './ports.ts';
import { checkSchedule } from './schedules/check-schedule.ts';

/** A schedule that code brings: kept in step with it at each start of a scheduler; users can pause it. */
export interface BuiltInSchedule extends Omit<ScheduleInput, 'paused'> {
  readonly name: string;
}

type Never<Keys extends string> = { readonly [Key in Keys]?: never };
type Times =
  | ({ readonly cron: string; readonly timeZone?: string } & Never<'everyMs' | 'anchorAt' | 'at'>)
  | ({ readonly everyMs: number; readonly anchorAt?: Date } & Never<'cron' | 'timeZone' | 'at'>)
  | ({ readonly at: Date } & Never<'cron' | 'timeZone' | 'everyMs' | 'anchorAt'>);

export type ScheduleDefinition<C extends JobContract> = Times & {
  readonly name: string;
  readonly job: C;
  readonly payload?: PayloadInputOf<C>;
  readonly options?: Omit<EnqueueOptions, 'runAt' | 'idempotencyKey' | 'parent'>;
  readonly misfire?: MisfirePolicy;
};

/**
 * Defines a schedule of a job: by `cron` (5 fields, or 6 with seconds first; UTC unless `timeZone` names another zone),
 * each `everyMs` (from `anchorAt`, or from when it is first stored), or once `at` a time. Misfire policy `once` by default.
 * @throws AppError VALIDATION_ERROR naming what is wrong with the definition.
 */
export const defineSchedule = <C extends JobContract>({
  name,
  job,
  ...definition
}: ScheduleDefinition<C>): BuiltInSchedule => {
  const input = { ...definition, jobName: job.name };
  checkSchedule(name, input, { findContract: () => job, isTooLate: () => false });
  return Object.freeze({ name, ...input });
};
