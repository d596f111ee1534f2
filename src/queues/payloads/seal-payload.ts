import { AppError } from '../../lib/errors/app-error.ts';
import { keyIdOf, type KeyRing } from '../../lib/crypto/key-ring.ts';
import type { JobContract } from '../define-job.ts';
import { mapPaths, valuesAt } from './value-paths.ts';

type Payload = Readonly<Record<string, unknown>>;
type Sealing = Pick<JobContract, 'name' | 'encrypt'>;

const isPayload = (value: unknown): value is Payload => typeof value === 'object' && value !== null;

const changed = (
  payload: Payload,
  paths: readonly string[],
  change: (value: unknown, path: string) => unknown,
): Payload => {
  const copy = mapPaths(payload, paths, change);
  return isPayload(copy) ? copy : payload;
};

/** Bound to job and path, an encrypted value cannot be put in the place of another. */
const contextOf = (job: string, path: string): string => `${job}\0${path}`;

/**
 * The payload as it is kept: what lies at the contract's `encrypt` paths is encrypted.
 * @throws AppError CONFIGURATION_ERROR without a key.
 */
export const sealPayload = (keys: KeyRing, { name, encrypt }: Sealing, payload: Payload): Payload =>
  changed(payload, encrypt, (value, path) => keys.encrypt(JSON.stringify(value), contextOf(name, path)));

/**
 * The payload as the handler sees it. A value that was accepted before its path was encrypted is left as it is.
 * @throws AppError CONFIGURATION_ERROR naming the path, and the key that is missing or wrong.
 */
export const unsealPayload = (keys: KeyRing, { name, encrypt }: Sealing, payload: Payload): Payload =>
  changed(payload, encrypt, (value, path): unknown => {
    if (typeof value !== 'string' || keyIdOf(value) === undefined) return value;
    try {
      return JSON.parse(keys.decrypt(value, contextOf(name, path)));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      throw new AppError('CONFIGURATION_ERROR', `the payload of ${name}: ${path}: ${error.message}`, error.details);
    }
  });

/** The ids of the keys under which values of the payload are encrypted. */
export const sealingKeysOf = (payload: unknown, { encrypt }: Sealing): ReadonlySet<string> =>
  new Set(valuesAt(payload, encrypt).flatMap((value) => keyIdOf(value) ?? []));
