import { z } from 'zod';
import { AppError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { entityId } from '../../lib/kv/entity-id.ts';
import type { Kv } from '../../lib/kv/kv.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import { storableJson } from '../../lib/text/storable.ts';
import { PostgresPresenceStore } from './postgres-presence-store.ts';
import { createPresenceBell, type PresenceBell } from './presence-bell.ts';
import type { PresenceLimits, PresenceStore, StoredUser } from './presence-store.ts';
import { watchDocument } from './presence-watch.ts';
import { RedisPresenceStore } from './redis-presence-store.ts';
import type { Cleaned, Joined, PresenceNews, PresenceSnapshot, PresenceUser, UserDocument } from './types.ts';

export interface PresenceServiceParts {
  readonly kv: Kv;
  readonly subscription: Subscription;
  readonly log: Log;
  readonly limits?: Partial<PresenceLimits>;
}

/** A connection is gone so long after its last heartbeat. */
export const presenceTtlMs = 1_800_000;
const mostDocuments = 1_000;
const mostInSnapshot = 1_000;

export const documentIdRule = entityId();
export const userIdRule = entityId();
export const socketIdRule = entityId();
export const activityRule = storableJson(2_048);

const place = z.object({ documentId: documentIdRule, userId: userIdRule, socketId: socketIdRule.optional() });
const connection = place.extend({ socketId: socketIdRule, activity: activityRule.optional() });
const pageKey = z.tuple([z.string().regex(/^\d{1,16}$/)]);

const withoutSequence = ({ joinedSequence: _sequence, ...user }: StoredUser): PresenceUser => user;

/**
 * Who is in which document, in Redis or Postgres. A user may be there by several connections, each of which says now and then
 * that it lives. Who is not heard of for half an hour is gone.
 */
export class PresenceService {
  readonly #store: PresenceStore;
  readonly #bell: PresenceBell;
  readonly #postgres: Postgres;
  readonly #log: Log;
  readonly #limits: PresenceLimits;

  constructor({ kv, subscription, log, limits = {} }: PresenceServiceParts) {
    this.#limits = { ttlMs: presenceTtlMs, mostConnections: 50, ...limits };
    this.#store =
      kv.backend === 'redis'
        ? new RedisPresenceStore(kv.redis, this.#limits)
        : new PostgresPresenceStore(kv.postgres, this.#limits);
    this.#bell = createPresenceBell(kv, subscription);
    this.#postgres = kv.postgres;
    this.#log = log;
  }

  /**
   * A connection of a user is in a document from now on; one that was there lives on. `activity`, JSON of up to 2 KiB, stays as
   * it was when it is left out.
   * @throws AppError VALIDATION_ERROR naming every fault; DATA_CONSISTENCY_ERROR when the user has fifty others there;
   * SERVICE_UNAVAILABLE or DB_CONNECTION_ERROR while the server of presence is away, as every method here.
   */
  async addUser(documentId: string, userId: string, socketId: string, activity?: unknown): Promise<Joined> {
    const input = parseOrThrow(connection, { documentId, userId, socketId, activity }, 'the presence');
    const { outcome, sequence } = await this.#store.join(input, JSON.stringify(input.activity));
    if (outcome === 'full') {
      const message = `the user has ${this.#limits.mostConnections} connections to the document already`;
      throw new AppError('DATA_CONSISTENCY_ERROR', message, { entity: 'presence', entityId: userId });
    }
    return { joined: outcome === 'joined', sequence };
  }

  /** A heartbeat of a connection. False, and nothing comes of it, when it left, was taken out, or was silent for too long. */
  async updateUserActivity(documentId: string, userId: string, socketId: string, activity?: unknown): Promise<boolean> {
    const input = parseOrThrow(connection, { documentId, userId, socketId, activity }, 'the presence');
    return this.#store.heartbeat(input, JSON.stringify(input.activity));
  }

  /** Takes out one connection of a user, or all of them; false when there was none. */
  async removeUser(documentId: string, userId: string, socketId?: string): Promise<boolean> {
    parseOrThrow(place, { documentId, userId, socketId }, 'the presence');
    return (await this.#store.leave(documentId, userId, socketId)) > 0;
  }

  /** A page of a document's users in the order in which they joined, and the sequence of its last event. */
  async getActiveUsers(
    documentId: string,
    request: PageRequest = {},
  ): Promise<Page<PresenceUser> & { readonly sequence: number }> {
    parseOrThrow(z.object({ documentId: documentIdRule }), { documentId }, 'the presence');
    const list = { list: 'presence', scope: [documentId], key: pageKey };
    const start = await readPageRequest(this.#postgres, request, list);
    const from = start.key && Number(start.key[0]);
    const { direction, limit } = start;
    const { users, sequence } = await this.#store.users(documentId, { direction, from, limit: limit + 1 });
    const page = pageOf(users, start, { keyOf: (user) => [String(user.joinedSequence)], toItem: withoutSequence });
    return { ...page, sequence };
  }

  /** The documents that a user is in, those last seen in first, up to a thousand. */
  async getUserDocuments(userId: string): Promise<readonly UserDocument[]> {
    parseOrThrow(z.object({ userId: userIdRule }), { userId }, 'the presence');
    return this.#store.documentsOf(userId, mostDocuments);
  }

  /** Takes out whom nobody has heard of for too long, and tells those who watch. May be stopped at any step, and run twice. */
  cleanupInactiveUsers(signal: AbortSignal = new AbortController().signal): Promise<Cleaned> {
    return this.#store.clean(signal);
  }

  /**
   * Follows a document until the signal: first who is there, then who joins and leaves. From the sequence `after` on it begins
   * with what was missed since then; where that is not known any more (a thousand events are), with who is there.
   */
  watch(
    documentId: string,
    { after, signal }: { readonly after?: number | undefined; readonly signal: AbortSignal },
  ): Promise<AsyncGenerator<PresenceNews>> {
    parseOrThrow(z.object({ documentId: documentIdRule }), { documentId }, 'the presence');
    const parts = {
      store: this.#store,
      bell: this.#bell,
      snapshot: (id: string) => this.#snapshot(id),
      onError: (error: unknown) => this.#log.warn({ event: 'presence.not-followed', err: error }),
    };
    return watchDocument(parts, { documentId, after, signal });
  }

  async #snapshot(documentId: string): Promise<PresenceSnapshot> {
    const limit = mostInSnapshot + 1;
    const { users, sequence } = await this.#store.users(documentId, { direction: 'next', from: undefined, limit });
    return {
      sequence,
      users: users.slice(0, mostInSnapshot).map(withoutSequence),
      complete: users.length <= mostInSnapshot,
    };
  }
}
