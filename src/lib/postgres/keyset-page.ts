import { z } from 'zod';
import { validationError } from '../errors/app-error.ts';
import { cursorKeyOf } from './cursor-key.ts';
import type { Queryable } from './queryable.ts';
import { openCursor, sealCursor, type CursorList } from './signed-cursor.ts';

/** One page of a keyset listing; cursors are opaque, signed, and good for this list with these filters only. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
  readonly prevCursor: string | null;
}

export interface PageRequest {
  /** 20 by default, at most 100. */
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

type Direction = 'next' | 'prev';

/** A list to read a page of; `key` is the shape of the ordering columns' texts, tie-breaker included. */
export interface KeysetList<K extends readonly string[]> extends CursorList {
  readonly key: z.ZodType<K>;
}

/** Where a page starts: beyond the row with this key, in this direction; no key for the first page. */
export interface PageStart<K extends readonly string[]> {
  readonly limit: number;
  readonly direction: Direction;
  readonly key: K | undefined;
  /** The cursor that leads on from the row with this key. */
  cursorAt(direction: Direction, key: K): string;
}

const maxLimit = 100;
const notOfThisList = () => validationError('the page', [{ path: 'cursor', message: 'is not a cursor of this list' }]);

/**
 * Reads a page request. The key that signs cursors is the one of the database behind `db`.
 * @throws AppError VALIDATION_ERROR for a limit out of range, or a cursor that this list did not answer as it is now.
 */
export const readPageRequest = async <K extends readonly string[]>(
  db: Queryable,
  { limit = 20, cursor }: PageRequest,
  { key: shape, list, scope }: KeysetList<K>,
): Promise<PageStart<K>> => {
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) {
    throw validationError('the page', [{ path: 'limit', message: `must be a whole number from 1 to ${maxLimit}` }]);
  }
  const signingKey = await cursorKeyOf(db);
  const cursorAt = (direction: Direction, key: K): string => sealCursor(signingKey, { list, scope }, [direction, key]);
  if (cursor === undefined) return { limit, direction: 'next', key: undefined, cursorAt };
  if (typeof cursor !== 'string') throw notOfThisList();
  const position = z.tuple([z.enum(['next', 'prev']), shape]);
  const parsed = position.safeParse(openCursor(signingKey, { list, scope }, cursor));
  if (!parsed.success) throw notOfThisList();
  const [direction, key] = parsed.data;
  return { limit, direction, key, cursorAt };
};

/**
 * Makes a page of the rows a keyset query answered: `limit + 1` of them at most, in the direction of `start`.
 */
export const pageOf = <R, T, K extends readonly string[]>(
  rows: readonly R[],
  start: PageStart<K>,
  { keyOf, toItem }: { readonly keyOf: (row: R) => K; readonly toItem: (row: R) => T },
): Page<T> => {
  const more = rows.length > start.limit;
  const kept = rows.slice(0, start.limit);
  if (start.direction === 'prev') kept.reverse();
  const first = kept[0];
  const last = kept.at(-1);
  const before = start.direction === 'prev' ? more : start.key !== undefined;
  const after = start.direction === 'next' ? more : true;
  return {
    items: kept.map(toItem),
    prevCursor: first !== undefined && before ? start.cursorAt('prev', keyOf(first)) : null,
    nextCursor: last !== undefined && after ? start.cursorAt('next', keyOf(last)) : null,
  };
};
