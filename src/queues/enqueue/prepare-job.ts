import { uuidV7 } from '../../lib/ids/uuid-v7.ts';
import type { Fault } from '../../lib/errors/app-error.ts';
import { faultsOf } from '../../lib/errors/zod-faults.ts';
import type { JobContract } from '../define-job.ts';
import type { EnqueueOptions } from '../ports.ts';
import { enqueueOptionsSchema, type ParsedOptions } from './enqueue-options.ts';
import { jsonFault } from './serialize-payload.ts';

/** A job that passed every check and may be written. */
export interface PreparedJob {
  readonly id: string;
  readonly contract: JobContract;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly options: ParsedOptions;
  readonly tenant: string;
}

export type Prepared = { readonly job: PreparedJob } | { readonly faults: readonly Fault[] };

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const noOptions: ParsedOptions = {};

const isEmpty = (options: EnqueueOptions | undefined): boolean => {
  if (options === undefined) return true;
  for (const _ in options) return false;
  return true;
};

const tenantOf = (payload: Readonly<Record<string, unknown>>, options: ParsedOptions): string => {
  if (options.tenant !== undefined) return options.tenant;
  const workspace = payload['workspaceId'];
  return typeof workspace === 'string' ? workspace : '';
};

/**
 * Checks payload and options against the contract and collects every fault of both. What is kept is the payload as given:
 * a schema's defaults and transforms are applied where the job runs, once, also for payloads that come from SQL.
 */
export const prepareJob = (contract: JobContract, payload: unknown, options?: EnqueueOptions): Prepared => {
  const faults: Fault[] = [];
  const parsedPayload = contract.payload.safeParse(payload);
  if (!parsedPayload.success) faults.push(...faultsOf(parsedPayload.error, ['payload']));
  const parsedOptions = isEmpty(options)
    ? { success: true as const, data: noOptions }
    : enqueueOptionsSchema.safeParse(options);
  if (!parsedOptions.success) faults.push(...faultsOf(parsedOptions.error, ['options']));
  if (!parsedPayload.success || !parsedOptions.success) return { faults };
  if (!isRecord(payload)) return { faults: [{ path: 'payload', message: 'must be a JSON object' }] };
  const fault = jsonFault(payload, 'payload');
  if (fault) return { faults: [fault] };
  return {
    job: {
      id: uuidV7(),
      contract,
      payload,
      options: parsedOptions.data,
      tenant: tenantOf(payload, parsedOptions.data),
    },
  };
};
