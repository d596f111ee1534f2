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

  /** Sinks that have to start over, whatever their position: a table of theirs was in no publication. */
  async lackingChanges(): Promise<ReadonlySet<string>> {
    const { rows } = await this.#db.query<{ name: string }>(
      'SELECT name FROM treadle.change_sinks WHERE lacks_changes',
    );
    return new Set(rows.map(({ name }) => name));
  }

  async noteLackOfChanges(names: readonly string[]): Promise<void> {
    await this.#db.query(
      `INSERT INTO treadle.change_sinks (name, position, lacks_changes) SELECT name, '0/0', true FROM unnest($1::text[]) AS name ORDER BY name
       ON CONFLICT (name) DO UPDATE SET lacks_changes = true`,
      [names],
    );
  }

  /** A sink has started over, and has everything up to there. */
  async startedOver(name: string, position: Lsn): Promise<void> {
    await this.store(new Map([[name, position]]));
    await this.#db.query('UPDATE treadle.change_sinks SET lacks_changes = false WHERE name = $1', [name]);
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
