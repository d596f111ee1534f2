import { z } from 'zod';

/** A key of AES-256 under the name that encrypted values carry. */
export interface EncryptionKey {
  readonly id: string;
  readonly base64: string;
}

const keyBytes = 32;
const isKey = (base64: string): boolean =>
  /^[A-Za-z0-9+/_-]+={0,2}$/.test(base64) && Buffer.from(base64, 'base64').length === keyBytes;

/** Parses `id:base64`, several separated by commas; the first encrypts. */
export const parseEncryptionKeys = z.string().transform((text, context): readonly EncryptionKey[] => {
  const keys: EncryptionKey[] = [];
  for (const part of text
    .split(',')
    .map((piece) => piece.trim())
    .filter(Boolean)) {
    const [, id, base64] = /^([\w-]{1,50}):(.+)$/.exec(part) ?? [];
    const fault =
      id === undefined || base64 === undefined || !isKey(base64)
        ? `must look like id:base64, with ${keyBytes} bytes as base64 such as openssl rand -base64 ${keyBytes} prints`
        : keys.some((key) => key.id === id) && 'has the id of an entry before it';
    if (fault !== false || id === undefined || base64 === undefined) {
      context.addIssue({ code: 'custom', message: `entry ${keys.length + 1} ${fault}` });
      return z.NEVER;
    }
    keys.push({ id, base64 });
  }
  return keys;
});
