import { queryOften, type PreparingQueryable } from '../../lib/postgres/queryable.ts';
import type { SessionStore, SessionTimes } from './session-store.ts';
import type { ListedSession, Session, SessionData } from './types.ts';

interface SessionRow {
  readonly user_id: string;
  readonly data: SessionData;
  readonly created_at: Date;
  readonly last_accessed_at: Date;
  readonly expires_at: Date;
}

const columns = 'user_id, data, created_at, last_accessed_at, expires_at';

const ms = (parameter: string): string => `make_interval(secs => ${parameter}::float8 / 1000)`;

export const createSql = `
  WITH server AS (SELECT clock_timestamp() AS now)
  INSERT INTO treadle.sessions (id_hash, user_id, data, created_at, last_accessed_at, expires_at, ends_at)
  SELECT $1, $2, $3, now, now, now + least(${ms('$4')}, ${ms('$5')}), now + ${ms('$5')} FROM server
  RETURNING ${columns}`;

/** The row is written only when its last access is old. */
export const getSql = `
  WITH touched AS (
    UPDATE treadle.sessions
    SET last_accessed_at = clock_timestamp(), expires_at = least(ends_at, clock_timestamp() + ${ms('$2')})
    WHERE id_hash = $1 AND expires_at > clock_timestamp() AND last_accessed_at <= clock_timestamp() - ${ms('$3')}
    RETURNING ${columns})
  SELECT * FROM touched
  UNION ALL
  SELECT ${columns} FROM treadle.sessions
  WHERE id_hash = $1 AND expires_at > clock_timestamp() AND NOT EXISTS (SELECT FROM touched)`;

const toSession = (row: SessionRow): Session => ({
  userId: row.user_id,
  data: row.data,
  createdAt: row.created_at,
  lastAccessedAt: row.last_accessed_at,
  expiresAt: row.expires_at,
});

const bytesOf = (handle: string): Buffer => Buffer.from(handle, 'base64url');

/** Sessions as rows of `treadle.sessions`; those past their time are not seen, and pruned within the hour. */
export class PostgresSessionStore implements SessionStore {
  readonly #db: PreparingQueryable;
  readonly #times: SessionTimes;

  constructor(db: PreparingQueryable, times: SessionTimes) {
    this.#db = db;
    this.#times = times;
  }

  async create(handle: string, userId: string, dataJson: string): Promise<Session> {
    const { ttlMs, maxAgeMs } = this.#times;
    const values = [bytesOf(handle), userId, dataJson, ttlMs, maxAgeMs];
    const { rows } = await queryOften<SessionRow>(this.#db, createSql, values);
    const [row] = rows;
    if (!row) throw new Error('INSERT answered no row');
    return toSession(row);
  }

  async get(handle: string): Promise<Session | undefined> {
    const { ttlMs, touchAfterMs } = this.#times;
    const { rows } = await queryOften<SessionRow>(this.#db, getSql, [bytesOf(handle), ttlMs, touchAfterMs]);
    return rows[0] && toSession(rows[0]);
  }

  async destroy(handle: string, userId?: string): Promise<boolean> {
    const { rows } = await queryOften<{ alive: boolean }>(
      this.#db,
      `DELETE FROM treadle.sessions WHERE id_hash = $1 AND ($2::text IS NULL OR user_id = $2)
       RETURNING expires_at > clock_timestamp() AS alive`,
      [bytesOf(handle), userId ?? null],
    );
    return rows[0]?.alive === true;
  }

  async destroyAll(userId: string): Promise<number> {
    const { rows } = await this.#db.query<{ alive: number }>(
      `WITH gone AS (
         DELETE FROM treadle.sessions WHERE user_id = $1 RETURNING expires_at > clock_timestamp() AS alive)
       SELECT count(*) FILTER (WHERE alive)::integer AS alive FROM gone`,
      [userId],
    );
    return rows[0]?.alive ?? 0;
  }

  async list(userId: string, limit: number): Promise<readonly ListedSession[]> {
    const { rows } = await this.#db.query<SessionRow & { readonly id_hash: Buffer }>(
      `SELECT id_hash, ${columns} FROM treadle.sessions WHERE user_id = $1 AND expires_at > clock_timestamp()
       ORDER BY last_accessed_at DESC, id_hash LIMIT $2`,
      [userId, limit],
    );
    return rows.map((row) => ({ handle: row.id_hash.toString('base64url'), ...toSession(row) }));
  }
}
