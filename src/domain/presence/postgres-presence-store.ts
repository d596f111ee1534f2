import { queryOften, type PreparingQueryable } from '../../lib/postgres/queryable.ts';
import type { ConnectionKey, Events, PresenceLimits, PresenceStore, Users, UsersRequest } from './presence-store.ts';
import type { Cleaned, PresenceEvent, UserDocument } from './types.ts';
import { userOf } from './user-of.ts';

/** Connections taken out in one statement. */
const step = 500;

const alive = 'last_seen > clock_timestamp() - make_interval(secs => $2::float8 / 1000)';

const heartbeatSql = `
  UPDATE treadle.presence_connections
  SET last_seen = clock_timestamp(), activity = coalesce($5::jsonb, activity)
  WHERE document_id = $1 AND user_id = $3 AND socket_id = $4 AND ${alive}`;

/** With the sequence of one moment, also where there is nobody. */
const usersSql = (beyond: '<' | '>', order: 'ASC' | 'DESC'): string => `
  SELECT (SELECT sequence FROM treadle.presence_documents WHERE document_id = $1) AS sequence, present.*
  FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
    SELECT known.user_id, known.joined_at, known.joined_sequence, heard.connections
    FROM treadle.presence_users AS known
    CROSS JOIN LATERAL (
      SELECT jsonb_agg(jsonb_build_object('socketId', socket_id, 'activity', activity,
        'joinedAt', floor(extract(epoch FROM joined_at) * 1000), 'lastSeen', floor(extract(epoch FROM last_seen) * 1000))) AS connections
      FROM treadle.presence_connections AS connection
      WHERE connection.document_id = known.document_id AND connection.user_id = known.user_id AND ${alive}) AS heard
    WHERE known.document_id = $1 AND ($3::bigint IS NULL OR known.joined_sequence ${beyond} $3) AND heard.connections IS NOT NULL
    ORDER BY known.joined_sequence ${order} LIMIT $4) AS present ON true
  ORDER BY present.joined_sequence ${order}`;

const eventsSql = `
  SELECT document.sequence AS last, document.first_sequence AS first, event.*
  FROM (VALUES (1)) AS one
  LEFT JOIN treadle.presence_documents AS document ON document.document_id = $1
  LEFT JOIN LATERAL (
    SELECT type, sequence, user_id, socket_id, reason, at FROM treadle.presence_events
    WHERE document_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3) AS event ON true
  ORDER BY event.sequence`;

interface UserRow {
  readonly sequence: string | null;
  readonly user_id: string | null;
  readonly joined_at: Date;
  readonly joined_sequence: string;
  readonly connections: readonly {
    readonly socketId: string;
    readonly joinedAt: number;
    readonly lastSeen: number;
    readonly activity: unknown;
  }[];
}

interface EventRow {
  readonly last: string | null;
  readonly first: string | null;
  readonly type: PresenceEvent['type'] | null;
  readonly sequence: string;
  readonly user_id: string;
  readonly socket_id: string;
  readonly reason: PresenceEvent['reason'];
  readonly at: Date;
}

/** Presence as rows; the functions `treadle.presence_*` write them. */
export class PostgresPresenceStore implements PresenceStore {
  readonly #db: PreparingQueryable;
  readonly #limits: PresenceLimits;

  constructor(db: PreparingQueryable, limits: PresenceLimits) {
    this.#db = db;
    this.#limits = limits;
  }

  async join({ documentId, userId, socketId }: ConnectionKey, activityJson: string | undefined) {
    const { ttlMs, mostConnections } = this.#limits;
    const { rows } = await queryOften<{ outcome: 'joined' | 'present' | 'full'; sequence: string }>(
      this.#db,
      'SELECT outcome, sequence FROM treadle.presence_join($1, $2, $3, $4, $5, $6)',
      [documentId, userId, socketId, activityJson ?? null, ttlMs, mostConnections],
    );
    const [row] = rows;
    if (!row) throw new Error('presence_join answered no row');
    return { outcome: row.outcome, sequence: Number(row.sequence) };
  }

  async heartbeat({ documentId, userId, socketId }: ConnectionKey, activityJson: string | undefined): Promise<boolean> {
    const values = [documentId, this.#limits.ttlMs, userId, socketId, activityJson ?? null];
    const { rowCount } = await queryOften(this.#db, heartbeatSql, values);
    return rowCount === 1;
  }

  async leave(documentId: string, userId: string, socketId: string | undefined): Promise<number> {
    const { rows } = await queryOften<{ gone: number }>(
      this.#db,
      'SELECT treadle.presence_leave($1, $2, $3, $4) AS gone',
      [documentId, userId, socketId ?? null, this.#limits.ttlMs],
    );
    return rows[0]?.gone ?? 0;
  }

  async users(documentId: string, { direction, from, limit }: UsersRequest): Promise<Users> {
    const sql = direction === 'next' ? usersSql('>', 'ASC') : usersSql('<', 'DESC');
    const values = [documentId, this.#limits.ttlMs, from ?? null, limit];
    const { rows } = await queryOften<UserRow>(this.#db, sql, values);
    const users = rows.flatMap((row) => {
      if (row.user_id === null) return [];
      const connections = row.connections.map(({ joinedAt, lastSeen, ...connection }) => ({
        ...connection,
        joinedAt: new Date(joinedAt),
        lastSeen: new Date(lastSeen),
      }));
      const joined = { joinedAt: row.joined_at, joinedSequence: Number(row.joined_sequence) };
      return userOf(row.user_id, joined, connections) ?? [];
    });
    return { users, sequence: Number(rows[0]?.sequence ?? 0) };
  }

  async events(documentId: string, after: number, limit: number): Promise<Events> {
    const { rows } = await queryOften<EventRow>(this.#db, eventsSql, [documentId, after, limit]);
    const events = rows.flatMap(({ type, ...row }): PresenceEvent[] =>
      type === null
        ? []
        : [
            {
              type,
              sequence: Number(row.sequence),
              userId: row.user_id,
              socketId: row.socket_id,
              reason: row.reason,
              at: row.at,
            },
          ],
    );
    return { events, sequence: Number(rows[0]?.last ?? 0), firstSequence: Number(rows[0]?.first ?? 0) };
  }

  async documentsOf(userId: string, limit: number): Promise<readonly UserDocument[]> {
    const { rows } = await this.#db.query<{ document_id: string; joined_at: Date; last_seen: Date }>(
      `SELECT known.document_id, known.joined_at, heard.last_seen
       FROM treadle.presence_users AS known
       CROSS JOIN LATERAL (
         SELECT max(last_seen) AS last_seen FROM treadle.presence_connections AS connection
         WHERE connection.document_id = known.document_id AND connection.user_id = known.user_id AND ${alive}) AS heard
       WHERE known.user_id = $1 AND heard.last_seen IS NOT NULL
       ORDER BY heard.last_seen DESC, known.document_id LIMIT $3`,
      [userId, this.#limits.ttlMs, limit],
    );
    return rows.map((row) => ({
      documentId: row.document_id,
      joinedAt: row.joined_at,
      lastSeen: row.last_seen,
    }));
  }

  async clean(signal: AbortSignal): Promise<Cleaned> {
    for (let sum = { connections: 0, users: 0 }; ;) {
      signal.throwIfAborted();
      const { rows } = await this.#db.query<{ connections: number; users: number }>(
        'SELECT connections, users FROM treadle.presence_clean($1, $2)',
        [this.#limits.ttlMs, step],
      );
      const { connections, users } = rows[0] ?? { connections: 0, users: 0 };
      sum = { connections: sum.connections + connections, users: sum.users + users };
      if (connections === 0) return sum;
    }
  }
}
