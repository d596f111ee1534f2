import { queryOften, type PreparingQueryable } from '../postgres/queryable.ts';
import type { LockClaim, LockStore } from './lock-store.ts';

/** The token is drawn once more under the lock of a row that was there: only so do they grow from holder to holder. */
export const takeSql = `
  INSERT INTO treadle.locks AS held (resource, owner, fence, expires_at)
  VALUES ($1, $2, nextval('treadle.fencing_tokens'), clock_timestamp() + make_interval(secs => $3::float8 / 1000))
  ON CONFLICT (resource) DO UPDATE
  SET owner = excluded.owner, fence = nextval('treadle.fencing_tokens'),
    expires_at = clock_timestamp() + make_interval(secs => $3::float8 / 1000)
  WHERE held.expires_at <= clock_timestamp()
  RETURNING fence`;

const renewSql = `
  UPDATE treadle.locks SET expires_at = clock_timestamp() + make_interval(secs => $3::float8 / 1000)
  WHERE resource = $1 AND owner = $2 AND expires_at > clock_timestamp()`;

export const releaseSql = `
  UPDATE treadle.locks SET owner = NULL, expires_at = clock_timestamp()
  WHERE resource = $1 AND owner = $2 AND expires_at > clock_timestamp()`;

/** Locks as rows of `treadle.locks`. */
export class PostgresLockStore implements LockStore {
  readonly #db: PreparingQueryable;

  constructor(db: PreparingQueryable) {
    this.#db = db;
  }

  async take({ resource, token }: LockClaim, ttlMs: number): Promise<number | undefined> {
    const { rows } = await queryOften<{ fence: string }>(this.#db, takeSql, [resource, token, ttlMs]);
    return rows[0] && Number(rows[0].fence);
  }

  async renew({ resource, token }: LockClaim, ttlMs: number): Promise<boolean> {
    const { rowCount } = await queryOften(this.#db, renewSql, [resource, token, ttlMs]);
    return rowCount === 1;
  }

  async release({ resource, token }: LockClaim): Promise<boolean> {
    const { rowCount } = await queryOften(this.#db, releaseSql, [resource, token]);
    return rowCount === 1;
  }
}
