import { z } from 'zod';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { entityId } from '../../lib/kv/entity-id.ts';
import type { Kv } from '../../lib/kv/kv.ts';
import { storableObject } from '../../lib/text/storable.ts';
import { PostgresSessionStore } from './postgres-session-store.ts';
import { RedisSessionStore } from './redis-session-store.ts';
import { createSessionId, handleOf } from './session-id.ts';
import type { SessionStore, SessionTimes } from './session-store.ts';
import type { CreatedSession, ListedSession, Session, SessionData } from './types.ts';

export interface SessionServiceParts {
  readonly kv: Kv;
  readonly times?: Partial<SessionTimes>;
}

const dayMs = 86_400_000;
const usualTimes: SessionTimes = { ttlMs: dayMs, maxAgeMs: 30 * dayMs, touchAfterMs: 60_000 };
const mostListed = 1_000;

export const sessionInput = z.strictObject({ userId: entityId(), data: storableObject(16_384) });
const userRule = z.object({ userId: entityId() });

/**
 * Sessions of an app's users, in Redis or Postgres. Who has the id of a session is its user, so that it is given out once and
 * only its hash is kept.
 */
export class SessionService {
  readonly #store: SessionStore;

  constructor({ kv, times = {} }: SessionServiceParts) {
    const all = { ...usualTimes, ...times };
    this.#store =
      kv.backend === 'redis' ? new RedisSessionStore(kv.redis, all) : new PostgresSessionStore(kv.postgres, all);
  }

  /**
   * Begins a session. It ends 24 hours after its last access, and after 30 days at the latest.
   * @throws AppError VALIDATION_ERROR naming every fault, such as data that JSON does not hold or more than 16 KiB of it;
   * SERVICE_UNAVAILABLE or DB_CONNECTION_ERROR while the server of sessions is away, as every method here.
   */
  async createSession(userId: string, data: SessionData = {}): Promise<CreatedSession> {
    const input = parseOrThrow(sessionInput, { userId, data }, 'the session');
    const id = createSessionId();
    const handle = handleOf(id);
    return { id, handle, ...(await this.#store.create(handle, input.userId, JSON.stringify(input.data))) };
  }

  /** The session with this id, which lives on for it; undefined when there is none, or not any more. */
  getSession(id: string): Promise<Session | undefined> {
    return this.#store.get(handleOf(id));
  }

  /** Ends a session; false when there was none. */
  destroySession(id: string): Promise<boolean> {
    return this.#store.destroy(handleOf(id));
  }

  /** Ends one of a user's sessions by the handle that lists show; false when the user has none of that handle. */
  async destroyUserSession(userId: string, handle: string): Promise<boolean> {
    parseOrThrow(userRule, { userId }, 'the session');
    return this.#store.destroy(handle, userId);
  }

  /** Ends all sessions that a user has; answers how many there were. One that begins meanwhile may stay. */
  async destroyAllUserSessions(userId: string): Promise<number> {
    parseOrThrow(userRule, { userId }, 'the sessions');
    return this.#store.destroyAll(userId);
  }

  /** A user's sessions, the last used first, up to a thousand. Their ids are not known to anybody here. */
  async listUserSessions(userId: string): Promise<readonly ListedSession[]> {
    parseOrThrow(userRule, { userId }, 'the sessions');
    return this.#store.list(userId, mostListed);
  }
}
