import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../../lib/errors/app-error.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { versionOf } from '../../../lib/replication/change-version.ts';
import { parseLsn } from '../../../lib/replication/lsn.ts';
import type { IndexVersion } from './index-document.ts';
import type { DocumentKey } from './index-source.ts';

/** An index as Postgres knows it. */
export interface IndexRecord {
  readonly name: string;
  /** Written and searched; null while there is none that has everything. */
  readonly live: string | null;
  /** Being built beside it. */
  readonly building: string | null;
  /** Up to here the one that is being built has everything. */
  readonly buildingCursor: DocumentKey | null;
  /** Why what is live can't be relied on; null: it can. */
  readonly suspect: string | null;
  readonly reason: string | null;
  readonly rebuiltAt: Date | null;
  readonly verifiedAt: Date | null;
  /** Found by the last whole verification. */
  readonly differences: number | null;
}

interface Row {
  readonly name: string;
  readonly live: string | null;
  readonly building: string | null;
  readonly building_cursor: DocumentKey | null;
  readonly suspect: string | null;
  readonly reason: string | null;
  readonly rebuilt_at: Date | null;
  readonly verified_at: Date | null;
  readonly differences: number | null;
}

const columns = 'name, live, building, building_cursor, suspect, reason, rebuilt_at, verified_at, differences';

const recordOf = (row: Row): IndexRecord => ({
  name: row.name,
  live: row.live,
  building: row.building,
  buildingCursor: row.building_cursor,
  suspect: row.suspect,
  reason: row.reason,
  rebuiltAt: row.rebuilt_at,
  verifiedAt: row.verified_at,
  differences: row.differences,
});

/** The name of the sink that keeps an index true. */
export const sinkOf = (index: string): string => `search.${index}`;

/** How far an index follows its tables. */
export interface IndexProgress {
  /** How long ago everything was in it that was committed before; null: never yet. */
  readonly behindMs: number | null;
  readonly state: string | null;
  readonly error: string | null;
  /** Keys that are yet to be taken from the backlog. */
  readonly backlog: number;
  /** When who streams was last heard of; null: nobody streams. */
  readonly heardAt: Date | null;
  readonly problem: string | null;
}

/** What Postgres knows of the indexes. */
export class IndexStates {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async read(name: string): Promise<IndexRecord | undefined> {
    const { rows } = await this.#db.query<Row & Record<string, unknown>>(
      `SELECT ${columns} FROM treadle.search_indexes WHERE name = $1`,
      [name],
    );
    return rows[0] && recordOf(rows[0]);
  }

  /** Which index is behind the alias. */
  async setLive(name: string, live: string | null): Promise<void> {
    await this.#db.query(
      `INSERT INTO treadle.search_indexes AS known (name, live) VALUES ($1, $2)
       ON CONFLICT (name) DO UPDATE SET live = excluded.live, updated_at = clock_timestamp()`,
      [name, live],
    );
  }

  /** The live index may lack changes: it is not searched until another one is built. */
  async suspect(name: string, why: string): Promise<void> {
    await this.#db.query(
      `INSERT INTO treadle.search_indexes AS known (name, suspect, suspect_at) VALUES ($1, $2, clock_timestamp())
       ON CONFLICT (name) DO UPDATE SET suspect = excluded.suspect, suspect_at = excluded.suspect_at, updated_at = clock_timestamp()`,
      [name, why],
    );
  }

  /** From now on changes are written to `building`, too. */
  async beginBuilding(name: string, building: string, reason: string): Promise<void> {
    await this.#db.query(
      `INSERT INTO treadle.search_indexes AS known (name, building, building_since, reason) VALUES ($1, $2, clock_timestamp(), $3)
       ON CONFLICT (name) DO UPDATE SET building = excluded.building, building_since = excluded.building_since,
         building_cursor = NULL, reason = excluded.reason, updated_at = clock_timestamp()`,
      [name, building, reason],
    );
  }

  async noteCursor(name: string, building: string, cursor: DocumentKey): Promise<void> {
    await this.#db.query(
      `UPDATE treadle.search_indexes SET building_cursor = $3, updated_at = clock_timestamp() WHERE name = $1 AND building = $2`,
      [name, building, JSON.stringify(cursor)],
    );
  }

  /** The time of the server. */
  async now(): Promise<Date> {
    const { rows } = await this.#db.query<{ now: Date }>('SELECT clock_timestamp() AS now');
    return rows[0]?.now ?? new Date(0);
  }

  /** What was being built is live now; it can be relied on, as far as it was compared since. */
  async endBuilding(name: string, building: string, comparedSince?: Date): Promise<void> {
    await this.#db.query(
      `UPDATE treadle.search_indexes SET live = $2, building = NULL, building_since = NULL, building_cursor = NULL,
         suspect = CASE WHEN suspect_at > $3 THEN suspect END,
         rebuilt_at = clock_timestamp(), updated_at = clock_timestamp()
       WHERE name = $1 AND building = $2`,
      [name, building, comparedSince ?? (await this.now())],
    );
  }

  /** What was being built is given up. */
  async abandonBuilding(name: string): Promise<void> {
    await this.#db.query(
      `UPDATE treadle.search_indexes SET building = NULL, building_since = NULL, building_cursor = NULL, updated_at = clock_timestamp()
       WHERE name = $1`,
      [name],
    );
  }

  /** How far a backfill of the live index has come; undefined: it has come to its end. */
  async noteBackfill(name: string, cursor: DocumentKey | undefined): Promise<void> {
    await this.#db.query('UPDATE treadle.search_indexes SET backfill_cursor = $2 WHERE name = $1', [
      name,
      cursor === undefined ? null : JSON.stringify(cursor),
    ]);
  }

  async readBackfill(name: string): Promise<DocumentKey | undefined> {
    const { rows } = await this.#db.query<{ cursor: DocumentKey | null }>(
      'SELECT backfill_cursor AS cursor FROM treadle.search_indexes WHERE name = $1',
      [name],
    );
    return rows[0]?.cursor ?? undefined;
  }

  async noteVerification(name: string, differences: number): Promise<void> {
    await this.#db.query(
      `UPDATE treadle.search_indexes SET verified_at = clock_timestamp(), differences = $2 WHERE name = $1`,
      [name, differences],
    );
  }

  async progress(name: string): Promise<IndexProgress> {
    const { rows } = await this.#db.query<{
      behind_ms: number | null;
      state: string | null;
      error: string | null;
      backlog: number;
      told_at: Date | null;
      problem: string | null;
    }>(
      `SELECT extract(epoch FROM clock_timestamp() - s.current_at)::float8 * 1000 AS behind_ms, s.state, s.error, stream.told_at, stream.problem,
         (SELECT count(*)::integer FROM (SELECT FROM treadle.change_backlog AS b WHERE b.sink = $1 LIMIT 100000) AS waiting) AS backlog
       FROM (SELECT) AS one LEFT JOIN treadle.change_sinks AS s ON s.name = $1
       LEFT JOIN treadle.change_stream AS stream ON stream.told_at > clock_timestamp() - interval '30 seconds'`,
      [sinkOf(name)],
    );
    const [row] = rows;
    return {
      behindMs: row?.behind_ms ?? null,
      state: row?.state ?? null,
      error: row?.error ?? null,
      backlog: row?.backlog ?? 0,
      heardAt: row?.told_at ?? null,
      problem: row?.problem ?? null,
    };
  }

  /**
   * The version of what is read from now on: everything up to its position is visible, and was offered to the index before.
   * Where nothing follows the tables it is that of the end of the log.
   */
  async publishedVersion(name: string): Promise<IndexVersion> {
    const { rows } = await this.#db.query<{ epoch: number | null; position: string }>(
      `SELECT (SELECT epoch FROM treadle.change_epoch) AS epoch,
         coalesce((SELECT position FROM treadle.change_sinks WHERE name = $1), pg_current_wal_insert_lsn())::text AS position`,
      [sinkOf(name)],
    );
    const [row] = rows;
    if (!row) throw new Error('SELECT answered no row');
    return String(versionOf(row.epoch ?? 0, parseLsn(row.position)));
  }

  /**
   * Waits until the index has been offered everything that is committed now.
   * @throws AppError SERVICE_UNAVAILABLE when that does not come about in time, saying what is in its way.
   */
  async awaitCurrent(name: string, { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number }): Promise<void> {
    const { rows } = await this.#db.query<{ position: string }>(
      `SELECT pg_logical_emit_message(true, 'treadle.mark', '')::text AS position`,
    );
    const mark = rows[0]?.position ?? '0/0';
    for (const deadline = performance.now() + timeoutMs; ;) {
      const { rows: found } = await this.#db.query<{ reached: boolean }>(
        `SELECT position >= $2::pg_lsn AND NOT EXISTS (SELECT FROM treadle.change_backlog WHERE sink = $1) AS reached
         FROM treadle.change_sinks WHERE name = $1`,
        [sinkOf(name), mark],
      );
      if (found[0]?.reached === true) return;
      signal.throwIfAborted();
      if (performance.now() > deadline) throw await this.#whyNotCurrent(name, timeoutMs);
      await delay(100, undefined, { signal });
    }
  }

  async #whyNotCurrent(name: string, timeoutMs: number): Promise<AppError> {
    const { heardAt, problem, error, backlog } = await this.progress(name);
    const why =
      problem ??
      (heardAt === null
        ? 'no replicator runs: start one with "treadle start replicator"'
        : (error ?? (backlog > 0 ? `${backlog} changes wait` : 'the change stream is behind')));
    return new AppError(
      'SERVICE_UNAVAILABLE',
      `the index ${name} does not follow its tables within ${timeoutMs} ms: ${why}`,
      {
        service: 'change stream',
      },
    );
  }
}
