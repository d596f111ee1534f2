import { AppError } from '../errors/app-error.ts';
import { queryOften, type PreparingQueryable, type Queryable } from '../postgres/queryable.ts';

/** What a writer was given with its lock. */
export interface Fenced {
  readonly resource: string;
  readonly fence: number;
}

/** `busy`: a transaction of a holder before is open; `stale`: somebody after this holder was let in. */
export type Raised = 'raised' | 'busy' | 'stale';

export const raiseSql = `
  WITH first AS (
    INSERT INTO treadle.lock_fences (resource, fence, raised_at) VALUES ($1, $2, now())
    ON CONFLICT (resource) DO NOTHING RETURNING fence
  ), known AS (
    SELECT fence FROM treadle.lock_fences WHERE resource = $1 FOR NO KEY UPDATE SKIP LOCKED
  ), raised AS (
    UPDATE treadle.lock_fences SET fence = $2, raised_at = now()
    WHERE resource = $1 AND fence < $2 AND EXISTS (SELECT FROM known) RETURNING fence)
  SELECT coalesce((SELECT fence FROM first), (SELECT fence FROM raised), (SELECT fence FROM known)) AS fence`;

/**
 * The fencing token of the last holder of each resource, in Postgres, wherever the locks lie (Kleppmann, How to do distributed
 * locking, 2016). It is raised before a lock is handed out: from then on no holder before it can write.
 */
export class Fences {
  readonly #db: PreparingQueryable;

  constructor(db: PreparingQueryable) {
    this.#db = db;
  }

  /** Shuts out all holders with a lower token. Waits for nobody: while one of them has a checked transaction open it is `busy`. */
  async raise({ resource, fence }: Fenced): Promise<Raised> {
    const { rows } = await queryOften<{ fence: string | null }>(this.#db, raiseSql, [resource, fence]);
    const seen = rows[0]?.fence ?? null;
    if (seen === null) return 'busy';
    return Number(seen) <= fence ? 'raised' : 'stale';
  }

  /**
   * Lets a transaction go on only if nobody was let in after the holder; and nobody is, until it has ended.
   * @throws AppError DATA_CONSISTENCY_ERROR when somebody was.
   */
  async check(tx: Queryable, { resource, fence }: Fenced): Promise<void> {
    const seen = (await this.#seen(tx, resource)) ?? (await this.#write(tx, { resource, fence }));
    if (seen <= fence) return;
    throw new AppError(
      'DATA_CONSISTENCY_ERROR',
      `the lock of ${JSON.stringify(resource)} was lost, and somebody else has had it since`,
      { entity: 'lock', entityId: resource, expected: fence, actual: seen },
    );
  }

  async #seen(tx: Queryable, resource: string): Promise<number | undefined> {
    const { rows } = await tx.query<{ fence: string }>(
      'SELECT fence FROM treadle.lock_fences WHERE resource = $1 FOR SHARE',
      [resource],
    );
    return rows[0] && Number(rows[0].fence);
  }

  /** That of a lock that was held for longer than it is remembered. */
  async #write(tx: Queryable, { resource, fence }: Fenced): Promise<number> {
    await tx.query(
      `INSERT INTO treadle.lock_fences (resource, fence, raised_at) VALUES ($1, $2, now()) ON CONFLICT (resource) DO NOTHING`,
      [resource, fence],
    );
    return (await this.#seen(tx, resource)) ?? fence;
  }
}
