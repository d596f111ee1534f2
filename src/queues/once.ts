import { validationError } from '../lib/errors/app-error.ts';
import type { Queryable } from '../lib/postgres/queryable.ts';

/** Keeps keys far below what an index entry of Postgres can hold. */
const maxBytes = 1_000;

/**
 * True for the first transaction that commits with this key, false for every later one, so that an effect inside a job
 * happens once however often the job is run. Concurrent callers wait until the first has committed (they get false) or
 * rolled back (the next of them gets true). Keys are kept for 30 days.
 * @throws AppError VALIDATION_ERROR for an empty key, one of more than 1,000 bytes, or one that Postgres cannot store.
 * Under repeatable read and serializable, losing to a concurrent commit is a serialization failure instead, which
 * `transaction` runs again.
 */
export const once = async (tx: Queryable, key: string): Promise<boolean> => {
  if (key === '' || Buffer.byteLength(key) > maxBytes || key.includes('\0') || !key.isWellFormed()) {
    throw validationError('the key of once()', [
      { path: 'key', message: `must be 1 to ${maxBytes} bytes of text without NUL or half of a surrogate pair` },
    ]);
  }
  const { rowCount } = await tx.query('INSERT INTO treadle.once_keys (key) VALUES ($1) ON CONFLICT (key) DO NOTHING', [
    key,
  ]);
  return rowCount === 1;
};
