import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const prefixLength = 12;

/** Makes a secret of 256 random bits: `trd_` and 43 characters of base64url. */
export const createSecret = (): string => `trd_${randomBytes(32).toString('base64url')}`;

/** Whether the text has the form of a secret of {@link createSecret}. */
export const isSecretForm = (text: string): boolean => /^trd_[\w-]{43}$/.test(text);

/** What a secret is recognised by in lists: too short to help a guess (48 of its 256 bits). */
export const prefixOf = (secret: string): string => secret.slice(0, prefixLength);

export const hashSecret = (secret: string): Buffer => createHash('sha256').update(secret, 'utf8').digest();

/** Compares two hashes in a time that does not tell where they differ. */
export const sameHash = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b);
