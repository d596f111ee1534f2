import { z } from 'zod';
import { validationError } from '../lib/errors/app-error.ts';
import { faultsOf } from '../lib/errors/zod-faults.ts';
import type { JobContract, PayloadInputOf, ResultOf } from '../queues/define-job.ts';
import { jobStates, type JobRecord } from '../queues/ledger/job-record.ts';
import type { JobOf } from './treadle-client.ts';

const time = z.coerce.date();
const known = z.looseObject({
  id: z.string(),
  name: z.string(),
  state: z.enum(jobStates),
  dueAt: time,
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
});

/** A record as JSON or a foreign pool's driver has left it: times that are text become dates again, all else stays. */
export const jobRecord: z.ZodType<JobRecord> = known.transform((value): unknown => value).pipe(z.custom<JobRecord>());

const payloadOf = <C extends JobContract>(_contract: C) => z.custom<PayloadInputOf<C>>();

/** The record with its contract's types; the result as the contract's schema reads it. */
export const jobOf = <C extends JobContract>(contract: C, record: JobRecord): JobOf<C> => {
  const subject = `the job ${record.id}`;
  if (record.name !== contract.name) {
    throw validationError(subject, [{ path: 'name', message: `is ${record.name}, not ${contract.name}` }]);
  }
  const schema: z.ZodType = record.state === 'completed' && contract.result ? contract.result : z.unknown();
  const result = schema.safeParse(record.result);
  if (!result.success) throw validationError(subject, faultsOf(result.error, ['result']));
  return {
    ...record,
    payload: payloadOf(contract).parse(record.payload),
    result: z.custom<ResultOf<C> | null>().parse(result.data),
  };
};
