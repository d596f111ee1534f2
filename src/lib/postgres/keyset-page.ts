import { z } from 'zod';
import { validationError } from '../errors/app-error.ts';

/** One page of a keyset listing; cursors are opaque. */
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

/** Where a page starts: beyond the row with this key, in this direction; no key for the first page. */
export interface PageStart<K extends readonly string[]> {
  readonly limit: number;
  readonly direction: 'next' | 'prev';
  readonly key: K | undefined;
}

const maxLimit = 100;

const decode = (cursor: string): unknown => {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
};

/**
 * Reads a page request. `key` is the shape of the ordering columns' texts, tie-breaker included.
 * @throws AppError VALIDATION_ERROR for a limit out of range, or a cursor that is not one of this listing's.
 */
export const readPageRequest = <K extends readonly string[]>(
  { limit = 20, cursor }: PageRequest,
  key: z.ZodType<K>,
): PageStart<K> => {
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) {
    throw validationError('the page', [{ path: 'limit', message: `must be a whole number from 1 to ${maxLimit}` }]);
  }
  if (cursor === undefined) return { limit, direction: 'next', key: undefined };
  const parsed = z.tuple([z.enum(['next', 'prev']), key]).safeParse(decode(cursor));
  if (!parsed.success) throw validationError('the page', [{ path: 'cursor', message: 'is not a cursor of this list' }]);
  const [direction, start] = parsed.data;
  return { limit, direction, key: start };
};

const encode = (direction: 'next' | 'prev', key: readonly string[]): string =>
  Buffer.from(JSON.stringify([direction, key])).toString('base64url');

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
    prevCursor: first !== undefined && before ? encode('prev', keyOf(first)) : null,
    nextCursor: last !== undefined && after ? encode('next', keyOf(last)) : null,
  };
};
