import type { Cleaned, PresenceEvent, PresenceUser, UserDocument } from './types.ts';

export interface ConnectionKey {
  readonly documentId: string;
  readonly userId: string;
  readonly socketId: string;
}

/** A part of a document's users, in the order in which they joined or in the other. */
export interface UsersRequest {
  readonly direction: 'next' | 'prev';
  /** The `joinedSequence` beyond which it begins. */
  readonly from: number | undefined;
  readonly limit: number;
}

export interface StoredUser extends PresenceUser {
  readonly joinedSequence: number;
}

export interface Users {
  readonly users: readonly StoredUser[];
  /** Of the document's last event; 0 when there was none. */
  readonly sequence: number;
}

export interface Events {
  /** Those after the one asked for, up to the limit. */
  readonly events: readonly PresenceEvent[];
  readonly sequence: number;
  /** That of the first event since the document is known; 0 when it is not. */
  readonly firstSequence: number;
}

/** How long a connection stays without a heartbeat, and how many of them a user may have in one document. */
export interface PresenceLimits {
  readonly ttlMs: number;
  readonly mostConnections: number;
}

/** Where presence lies. Times are those of the server. Connections past their time are seen nowhere, also before they are cleaned up. */
export interface PresenceStore {
  join(
    key: ConnectionKey,
    activityJson: string | undefined,
  ): Promise<{ readonly outcome: 'joined' | 'present' | 'full'; readonly sequence: number }>;
  /** False when there is no such connection, or not any more: nothing is made of it. */
  heartbeat(key: ConnectionKey, activityJson: string | undefined): Promise<boolean>;
  /** How many connections were taken out. */
  leave(documentId: string, userId: string, socketId: string | undefined): Promise<number>;
  users(documentId: string, request: UsersRequest): Promise<Users>;
  events(documentId: string, after: number, limit: number): Promise<Events>;
  documentsOf(userId: string, limit: number): Promise<readonly UserDocument[]>;
  /** Takes out what is past its time, in steps of which none grows with what there is. */
  clean(signal: AbortSignal): Promise<Cleaned>;
}
