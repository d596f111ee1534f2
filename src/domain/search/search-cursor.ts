import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type AppError, validationError } from '../../lib/errors/app-error.ts';
import type { SearchPosition } from './search-port.ts';
import type { SearchRequest } from './search-request.ts';

/** How the page that gave the cursor was ranked; the next one is ranked the same way. */
export type CursorRanking = 'listing' | 'words' | 'vector' | 'both';

const shape = z.tuple([
  z.string(),
  z.enum(['listing', 'words', 'vector', 'both']),
  z.array(z.union([z.string(), z.number()])),
  z.string(),
]);

const digest = (parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 16);

const digestOf = (
  { workspaceId, query, mode, filters, sort }: SearchRequest,
  backend: string,
  ranking: string,
  position: SearchPosition,
): string => digest([workspaceId, query, mode, filters, sort, backend, ranking, position]);

export interface ReadCursor {
  readonly ranking: CursorRanking;
  readonly position: SearchPosition;
}

/** An opaque text that leads to the next page of the same search on the same backend, and of no other. */
export const writeCursor = (request: SearchRequest, backend: string, { ranking, position }: ReadCursor): string =>
  Buffer.from(JSON.stringify([backend, ranking, position, digestOf(request, backend, ranking, position)])).toString(
    'base64url',
  );

const refuse = (message: string): AppError => validationError('the search', [{ path: 'cursor', message }]);

const decode = (cursor: string): unknown => {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
};

/** @throws AppError VALIDATION_ERROR for a text that is no cursor, or one of another search or backend. */
export const readCursor = (request: SearchRequest, backend: string, cursor: string): ReadCursor => {
  const parsed = shape.safeParse(decode(cursor));
  if (!parsed.success) throw refuse('is not a cursor of a search');
  const [madeBy, ranking, position, made] = parsed.data;
  if (made !== digestOf(request, madeBy, ranking, position)) throw refuse('belongs to another search');
  if (madeBy !== backend) throw refuse(`belongs to ${madeBy}, which does not answer searches now`);
  return { ranking, position };
};
