import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';

/** What a cursor belongs to. */
export interface CursorList {
  /** Of the list, and of no other. */
  readonly list: string;
  /** All that decides which rows the list has and in which order: whose they are, filters, sort. JSON; dates are fine. */
  readonly scope: readonly unknown[];
}

const signatureBytes = 16;

/** Filters are the same whichever of their fields was named first. */
const withSortedFields = (_name: string, value: unknown): unknown =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    : value;

const signatureOf = (key: KeyObject, { list, scope }: CursorList, position: string): Buffer =>
  createHmac('sha256', key)
    .update(JSON.stringify([list, scope, position], withSortedFields))
    .digest()
    .subarray(0, signatureBytes);

/** An opaque text for a URL that leads back to a position in a list: {@link openCursor} answers what was sealed. */
export const sealCursor = (key: KeyObject, list: CursorList, position: readonly unknown[]): string => {
  const text = JSON.stringify(position);
  return Buffer.concat([signatureOf(key, list, text), Buffer.from(text)]).toString('base64url');
};

/**
 * The position a cursor leads to; undefined for any text but one that was sealed with this key, for this list, under the
 * same scope. Signed with HMAC-SHA-256 cut to 128 bits (RFC 2104, section 5).
 */
export const openCursor = (key: KeyObject, list: CursorList, cursor: string): unknown => {
  const bytes = Buffer.from(cursor, 'base64url');
  // Decoding passes over characters and bits that mean nothing: they would be other texts of one cursor.
  if (bytes.length <= signatureBytes || bytes.toString('base64url') !== cursor) return undefined;
  const text = bytes.subarray(signatureBytes).toString('utf8');
  if (!timingSafeEqual(signatureOf(key, list, text), bytes.subarray(0, signatureBytes))) return undefined;
  const position: unknown = JSON.parse(text);
  return position;
};
