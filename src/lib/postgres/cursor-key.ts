import { createSecretKey, type KeyObject } from 'node:crypto';
import { AppError } from '../errors/app-error.ts';
import type { Queryable } from './queryable.ts';

/** A connection that keeps the key of its database once it was read. */
export interface CursorKeyKeeper {
  cursorKey(): Promise<KeyObject>;
}

/**
 * The key that signs the cursors of a database's lists: the same in all processes that share it.
 * @throws AppError CONFIGURATION_ERROR where somebody has taken it away.
 */
export const readCursorKey = async (db: Queryable): Promise<KeyObject> => {
  const { rows } = await db.query<{ secret: string }>(
    `SELECT encode(secret, 'hex') AS secret FROM treadle.secrets WHERE name = 'cursors'`,
  );
  const [row] = rows;
  if (!row) {
    const message = 'has no row "cursors", without which lists cannot make cursors';
    throw new AppError('CONFIGURATION_ERROR', `treadle.secrets ${message}`, {
      faults: [{ variable: 'treadle.secrets', message }],
    });
  }
  return createSecretKey(row.secret, 'hex');
};

/** The key as a connection keeps it; read over one that does not, such as an open transaction. */
export const cursorKeyOf = (db: Queryable | (Queryable & CursorKeyKeeper)): Promise<KeyObject> =>
  'cursorKey' in db ? db.cursorKey() : readCursorKey(db);
