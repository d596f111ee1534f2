/** What an app keeps with a session, as JSON. */
export type SessionData = Readonly<Record<string, unknown>>;

export interface Session {
  readonly userId: string;
  readonly data: SessionData;
  readonly createdAt: Date;
  /** Written once a minute at most. */
  readonly lastAccessedAt: Date;
  /** When it ends unless it is used before. */
  readonly expiresAt: Date;
}

/** A session as lists show it. */
export interface ListedSession extends Session {
  /** Names the session and opens nothing: it can't be turned into its id. */
  readonly handle: string;
}

/** A session that was just made. */
export interface CreatedSession extends Session {
  /** The secret of whoever was logged in. Given once, here: what is kept is its hash. */
  readonly id: string;
  readonly handle: string;
}
