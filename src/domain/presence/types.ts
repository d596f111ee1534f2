/** One of the connections by which a user is in a document: a tab, say. */
export interface PresenceConnection {
  readonly socketId: string;
  readonly joinedAt: Date;
  /** Of its last heartbeat, by the server's clock. */
  readonly lastSeen: Date;
  /** What the app says that the user does there, as JSON; null when it never said. */
  readonly activity: unknown;
}

/** A user who is in a document. `socketId`, `lastSeen` and `activity` are those of the connection that was seen last. */
export interface PresenceUser extends PresenceConnection {
  readonly userId: string;
  /** The oldest first. */
  readonly connections: readonly PresenceConnection[];
}

/** A document that a user is in. */
export interface UserDocument {
  readonly documentId: string;
  readonly joinedAt: Date;
  readonly lastSeen: Date;
}

/** Somebody came with their first connection, or went with their last one. */
export interface PresenceEvent {
  readonly type: 'joined' | 'left';
  /** Of the document: one more with each event. */
  readonly sequence: number;
  readonly userId: string;
  /** The connection that came first, or went last. */
  readonly socketId: string;
  /** Why they went: taken out, or not heard of for too long. Null of those who joined. */
  readonly reason: 'removed' | 'expired' | null;
  readonly at: Date;
}

/** Who is in a document, after the event of this sequence; 0 when there was none. */
export interface PresenceSnapshot {
  readonly sequence: number;
  /** In the order in which they joined. */
  readonly users: readonly PresenceUser[];
  /** False when there are more. */
  readonly complete: boolean;
}

/** What a watcher of a document hears. A snapshot takes the place of all that was heard before it. */
export type PresenceNews =
  | { readonly kind: 'snapshot'; readonly reason: 'start' | 'missed'; readonly snapshot: PresenceSnapshot }
  | { readonly kind: 'event'; readonly event: PresenceEvent };

export interface Joined {
  /** False when the user was there already, by this connection or another. */
  readonly joined: boolean;
  /** Of the document's last event. */
  readonly sequence: number;
}

/** How much a cleanup has taken out. */
export interface Cleaned {
  readonly connections: number;
  /** Those with no connection left. */
  readonly users: number;
}
