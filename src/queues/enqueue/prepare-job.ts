import { uuidV7 } from '../../lib/ids/uuid-v7.ts';
import type { KeyRing } from '../../lib/crypto/key-ring.ts';
import type { Fault } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import type { JobContract } from '../define-job.ts';
import { sealPayload } from '../payloads/seal-payload.ts';
import { isPlaceholder } from '../payloads/show-job.ts';
import { valuesAt } from '../payloads/value-paths.ts';
import type { EnqueueOptions } from '../ports.ts';
import { enqueueOptionsSchema, type ParsedOptions } from './enqueue-options.ts';
import { faultsOfPace, paceOf, type Pace } from './pace.ts';
import { largeBytesOf, sizeFault } from './payload-size.ts';
import { jsonFault, type JsonTally } from './serialize-payload.ts';

/** A job that passed every check and may be written. */
export interface PreparedJob {
  readonly id: string;
  readonly contract: JobContract;
  /** As it is kept: encrypted where the contract says so. */
  readonly payload: Readonly<Record<string, unknown>>;
  /** As it was given. */
  readonly plain: Readonly<Record<string, unknown>>;
  /** Set when the payload is too large to be carried about. */
  readonly largeBytes: number | undefined;
  readonly options: ParsedOptions;
  readonly pace: Pace | undefined;
  readonly tenant: string;
}

export type Prepared = { readonly job: PreparedJob } | { readonly faults: readonly Fault[] };

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** As many characters as the option `tenant` may have. */
const maxTenantLength = 200;
const tenantFault: Fault = {
  path: 'payload.workspaceId',
  message: `is the tenant of the job, and has more than ${maxTenantLength} characters`,
};
const noOptions: ParsedOptions = {};
const noFaults: readonly Fault[] = [];

const isEmpty = (options: EnqueueOptions | undefined): boolean => {
  if (options === undefined) return true;
  for (const _ in options) return false;
  return true;
};

const tenantOf = (payload: Readonly<Record<string, unknown>>, options: ParsedOptions): string => {
  if (options.tenant !== undefined) return options.tenant;
  const workspace = payload['workspaceId'];
  if (typeof workspace === 'number') return String(workspace);
  return typeof workspace === 'string' ? workspace : '';
};

/** Whoever copies a job as it is shown would enqueue what stands there in place of its values. */
const faultsOfPlaceholders = ({ encrypt, redact }: JobContract, payload: unknown): readonly Fault[] =>
  [...encrypt, ...redact]
    .filter((path) => valuesAt(payload, [path]).some((value) => isPlaceholder(value)))
    .map((path) => ({ path: `payload.${path}`, message: 'is what is shown in place of a hidden value' }));

/** What keeps the payload from being kept, or else from being run. */
const faultsOfPayload = (contract: JobContract, payload: unknown, tally: JsonTally): readonly Fault[] => {
  // First, since a schema may follow a cycle for ever.
  const fault = jsonFault(payload, tally, 'payload');
  if (fault) return [fault];
  const parsed = safeParse(contract.payload, payload);
  const faults = parsed.success ? noFaults : faultsOf(parsed.error, ['payload']);
  return contract.encrypt.length + contract.redact.length === 0
    ? faults
    : [...faults, ...faultsOfPlaceholders(contract, payload)];
};

/**
 * Checks payload and options against the contract and collects every fault of both. What is kept is the payload as given,
 * encrypted where the contract says so: a schema's defaults and transforms are applied where the job runs, once, also for
 * payloads that come from SQL. Without `keys` it is only checked, for somebody else to encrypt.
 */
export const prepareJob = (
  contract: JobContract,
  payload: unknown,
  options: EnqueueOptions | undefined,
  keys: KeyRing | undefined,
): Prepared => {
  const tally = { atMostBytes: 0 };
  const faults = faultsOfPayload(contract, payload, tally);
  const parsedOptions = isEmpty(options)
    ? { success: true as const, data: noOptions }
    : safeParse(enqueueOptionsSchema, options);
  if (!parsedOptions.success) return { faults: [...faults, ...faultsOf(parsedOptions.error, ['options'])] };
  const pace = paceOf(contract, parsedOptions.data);
  const paceFaults = faultsOfPace(pace, contract, parsedOptions.data);
  if (faults.length + paceFaults.length > 0) return { faults: [...faults, ...paceFaults] };
  if (!isRecord(payload)) return { faults: [{ path: 'payload', message: 'must be a JSON object' }] };
  const tenant = tenantOf(payload, parsedOptions.data);
  if (tenant.length > maxTenantLength) return { faults: [tenantFault] };
  const sealing = contract.encrypt.length > 0 ? keys : undefined;
  const kept = sealing ? sealPayload(sealing, contract, payload) : payload;
  // Encrypted values take more than what was walked.
  const largeBytes = largeBytesOf(kept, sealing ? Number.POSITIVE_INFINITY : tally.atMostBytes);
  const tooLarge = largeBytes === undefined ? undefined : sizeFault(largeBytes, 'payload');
  if (tooLarge) return { faults: [tooLarge] };
  return {
    job: {
      id: uuidV7(),
      contract,
      payload: kept,
      plain: payload,
      largeBytes,
      options: parsedOptions.data,
      pace,
      tenant,
    },
  };
};
