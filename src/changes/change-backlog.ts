import type { Queryable } from '../lib/postgres/queryable.ts';
import type { ChangedEntity } from '../lib/replication/watch.ts';
import type { ChangeBatch } from './change-batch.ts';

export interface BacklogChunk {
  readonly entities: readonly ChangedEntity[];
  readonly truncated: readonly string[];
  readonly marks: readonly number[];
}

interface Row {
  readonly kind: string;
  readonly workspace_id: string;
  readonly entity_id: string;
  readonly mark: number;
}

/** What a sink has yet to take, kept in Postgres. */
export class ChangeBacklog {
  readonly #db: Queryable;
  readonly #sink: string;

  constructor(db: Queryable, sink: string) {
    this.#db = db;
    this.#sink = sink;
  }

  async add({ entities, truncated }: Pick<ChangeBatch, 'entities' | 'truncated'>): Promise<void> {
    const all = [...truncated.map((kind) => ({ kind, workspaceId: '', id: '' })), ...entities];
    if (all.length === 0) return;
    await this.#db.query(
      `INSERT INTO treadle.change_backlog AS held (sink, kind, workspace_id, entity_id)
       SELECT $1, kind, workspace_id, entity_id FROM unnest($2::text[], $3::text[], $4::text[]) AS given (kind, workspace_id, entity_id)
       ORDER BY 2, 3, 4
       ON CONFLICT (sink, kind, workspace_id, entity_id) DO UPDATE SET mark = DEFAULT`,
      [this.#sink, all.map(({ kind }) => kind), all.map(({ workspaceId }) => workspaceId), all.map(({ id }) => id)],
    );
  }

  /** The oldest marks, so many at most; undefined when there is nothing. */
  async next(limit: number): Promise<BacklogChunk | undefined> {
    const { rows } = await this.#db.query<Row>(
      `SELECT kind, workspace_id, entity_id, mark FROM treadle.change_backlog WHERE sink = $1 ORDER BY mark LIMIT $2`,
      [this.#sink, limit],
    );
    if (rows.length === 0) return undefined;
    return {
      entities: rows
        .filter((row) => row.entity_id !== '')
        .map((row) => ({ kind: row.kind, workspaceId: row.workspace_id, id: row.entity_id })),
      truncated: rows.filter((row) => row.entity_id === '').map(({ kind }) => kind),
      marks: rows.map(({ mark }) => mark),
    };
  }

  /** The chunk was taken; what was marked again meanwhile stays, and so does an older mark that was not seen yet. */
  async remove({ marks }: BacklogChunk): Promise<void> {
    await this.#db.query('DELETE FROM treadle.change_backlog WHERE sink = $1 AND mark = ANY ($2::bigint[])', [
      this.#sink,
      marks,
    ]);
  }

  async count(): Promise<number> {
    const { rows } = await this.#db.query<{ waiting: number }>(
      'SELECT count(*) AS waiting FROM treadle.change_backlog WHERE sink = $1',
      [this.#sink],
    );
    return rows[0]?.waiting ?? 0;
  }
}
