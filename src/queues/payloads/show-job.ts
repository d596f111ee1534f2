import type { JobRegistry } from '../job-registry.ts';
import type { JobRecord } from '../ledger/job-record.ts';
import { mapPaths } from './value-paths.ts';

/** What a job keeps to itself. */
export interface Secrets {
  readonly encrypt: readonly string[];
  readonly redact: readonly string[];
  readonly redactResult: readonly string[];
}

const redacted = '[redacted]';
const encrypted = '[encrypted]';

/** Whether a value stands for one that is hidden. */
export const isPlaceholder = (value: unknown): boolean => value === redacted || value === encrypted;

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** A payload as anybody may see it. */
const showPayload = <P extends Readonly<Record<string, unknown>> | null>(
  payload: P,
  secrets: Secrets | undefined,
): P | Readonly<Record<string, unknown>> => {
  if (!secrets) return payload;
  const shown = mapPaths(
    mapPaths(payload, secrets.redact, () => redacted),
    secrets.encrypt,
    () => encrypted,
  );
  return isRecord(shown) ? shown : payload;
};

/** A job as the API, the board and the command line show it. */
export type ShowJob = (record: JobRecord) => JobRecord;

/** Answers the function that hides what contracts redact and encrypt. */
export const createShowJob =
  (registry: JobRegistry): ShowJob =>
  (record) => {
    const secrets = registry.secretsOf(record.name);
    if (!secrets) return record;
    const result = mapPaths(record.result, secrets.redactResult, () => redacted);
    return { ...record, payload: showPayload(record.payload, secrets), result };
  };
