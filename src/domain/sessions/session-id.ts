import { hash, randomBytes } from 'node:crypto';

/** An id of 256 random bits: `trs_` and 43 characters of base64url. */
export const createSessionId = (): string => `trs_${randomBytes(32).toString('base64url')}`;

/** By which a session is kept and looked up, in base64url: SHA-256 of its id. The same work for ids that never were. */
export const handleOf = (id: string): string => hash('sha256', id, 'base64url');
