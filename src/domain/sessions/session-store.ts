import type { ListedSession, Session } from './types.ts';

/** How long sessions last. */
export interface SessionTimes {
  /** From the last access: 24 hours by default. */
  readonly ttlMs: number;
  /** From the beginning, however it is used: 30 days by default. */
  readonly maxAgeMs: number;
  /** An access is written when the last one that was is older: a minute by default. */
  readonly touchAfterMs: number;
}

/**
 * Where sessions lie, by their handles. Times are those of the server. A session that is alive is always among those of its
 * user, so that none outlives {@link destroyAll}, wherever a process dies.
 */
export interface SessionStore {
  create(handle: string, userId: string, dataJson: string): Promise<Session>;
  /** The session, and the access is noted; undefined when there is none, or not any more. */
  get(handle: string): Promise<Session | undefined>;
  /** Whether there was one; with `userId` only if it is that user's. */
  destroy(handle: string, userId?: string): Promise<boolean>;
  /** How many there were. */
  destroyAll(userId: string): Promise<number>;
  /** The last used first. */
  list(userId: string, limit: number): Promise<readonly ListedSession[]>;
}
