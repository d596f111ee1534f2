import type { Queryable } from '../lib/postgres/queryable.ts';
import { formatLsn, parseLsn, type Lsn } from '../lib/replication/lsn.ts';

/** Up to where each sink has everything, as Postgres knows it. */
export class SinkPositions {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** Of all sinks that ever followed. */
  async read(): Promise<ReadonlyMap<string, Lsn>> {
    const { rows } = await this.#db.query<{ name: string; position: string }>(
      'SELECT name, position::text AS position FROM treadle.change_sinks',
    );
    return new Map(rows.map(({ name, position }) => [name, parseLsn(position)]));
  }

  async store(positions: ReadonlyMap<string, Lsn>): Promise<void> {
    await this.#db.query(
      `INSERT INTO treadle.change_sinks AS known (name, position)
       SELECT name, position::pg_lsn FROM unnest($1::text[], $2::text[]) AS given (name, position) ORDER BY name
       ON CONFLICT (name) DO UPDATE SET position = greatest(known.position, excluded.position), updated_at = clock_timestamp()`,
      [[...positions.keys()], Array.from(positions.values(), formatLsn)],
    );
  }
}
