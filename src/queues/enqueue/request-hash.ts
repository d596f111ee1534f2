import { createHash } from 'node:crypto';
import type { KeyRing } from '../../lib/crypto/key-ring.ts';
import type { PreparedJob } from './prepare-job.ts';

const textOf = ({ contract, plain, options }: PreparedJob): string => {
  const { idempotencyKey: _, ...others } = options;
  return contract.name + JSON.stringify(plain) + JSON.stringify(others);
};

const hashOf = (job: PreparedJob): string => createHash('sha256').update(textOf(job)).digest('hex');

/** What is kept of a request with an idempotency key; keyed where the job encrypts, so that nobody can try out its payload. */
export const requestHash = (job: PreparedJob, keys: KeyRing): string =>
  job.contract.encrypt.length === 0 ? hashOf(job) : keys.sign(textOf(job));

/** Whether the hash was kept of the same request, also under a key that is no longer the first. */
export const isHashOf = (kept: string, job: PreparedJob, keys: KeyRing): boolean => {
  const keyId = kept.includes(':') ? kept.slice(0, kept.indexOf(':')) : undefined;
  if (keyId === undefined) return kept === hashOf(job);
  return keys.has(keyId) && kept === keys.sign(textOf(job), keyId);
};
