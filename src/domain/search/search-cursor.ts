import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { type AppError, validationError } from '../../lib/errors/app-error.ts';
import { openCursor, sealCursor, type CursorList } from '../../lib/postgres/signed-cursor.ts';
import type { SearchPosition } from './search-port.ts';
import type { SearchRequest } from './search-request.ts';

/** How the page that gave the cursor was ranked; the next one is ranked the same way. */
export type CursorRanking = 'listing' | 'words' | 'vector' | 'both';

const shape = z.tuple([
  z.string(),
  z.enum(['listing', 'words', 'vector', 'both']),
  z.array(z.union([z.string(), z.number()])),
]);

export interface ReadCursor {
  readonly ranking: CursorRanking;
  readonly position: SearchPosition;
}

const listOf = ({ workspaceId, query, mode, filters, sort }: SearchRequest): CursorList => ({
  list: 'search',
  scope: [workspaceId, query, mode, filters, sort],
});

/** An opaque, signed text that leads to the next page of the same search on the same backend, and of no other. */
export const writeCursor = (
  key: KeyObject,
  request: SearchRequest,
  backend: string,
  { ranking, position }: ReadCursor,
): string => sealCursor(key, listOf(request), [backend, ranking, position]);

const refuse = (message: string): AppError => validationError('the search', [{ path: 'cursor', message }]);

/**
 * Where the page that the request asks for begins; undefined for the first.
 * @throws AppError VALIDATION_ERROR for a text that is no cursor, or one of another search or backend.
 */
export const readCursor = (key: KeyObject, request: SearchRequest, backend: string): ReadCursor | undefined => {
  if (request.cursor === undefined) return undefined;
  const parsed = shape.safeParse(openCursor(key, listOf(request), request.cursor));
  if (!parsed.success) throw refuse('is not a cursor of this search');
  const [madeBy, ranking, position] = parsed.data;
  if (madeBy !== backend) throw refuse(`belongs to ${madeBy}, which does not answer searches now`);
  return { ranking, position };
};
