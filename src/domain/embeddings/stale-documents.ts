import type { Queryable } from '../../lib/postgres/queryable.ts';

export interface StaleDocument {
  readonly id: string;
  readonly workspaceId: string;
}

export interface StaleScope {
  readonly workspaceId?: string | undefined;
  /** The id of the last document of the batch before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

const stale = `
  FROM treadle.knowledge AS k
  LEFT JOIN treadle.embedded_entities AS e
    ON e.entity_type = 'knowledge' AND e.entity_id = k.id AND e.model = $1 AND e.dimensions = $2
  WHERE ($3::uuid IS NULL OR k.workspace_id = $3) AND (e.version IS NULL OR e.version < k.version)`;

/** Documents whose embeddings of one model are missing or of an older version. */
export class StaleDocuments {
  readonly #db: Queryable;
  readonly #model: string;
  readonly #dimensions: number;

  constructor(db: Queryable, model: string, dimensions: number) {
    this.#db = db;
    this.#model = model;
    this.#dimensions = dimensions;
  }

  async find({ workspaceId, after, limit }: StaleScope): Promise<readonly StaleDocument[]> {
    const { rows } = await this.#db.query<{ id: string; workspace_id: string }>(
      `SELECT k.id, k.workspace_id ${stale} AND ($4::uuid IS NULL OR k.id > $4) ORDER BY k.id LIMIT $5`,
      [this.#model, this.#dimensions, workspaceId ?? null, after ?? null, limit],
    );
    return rows.map((row) => ({ id: row.id, workspaceId: row.workspace_id }));
  }

  async count(workspaceId?: string): Promise<number> {
    const { rows } = await this.#db.query<{ documents: number }>(`SELECT count(*)::integer AS documents ${stale}`, [
      this.#model,
      this.#dimensions,
      workspaceId ?? null,
    ]);
    return rows[0]?.documents ?? 0;
  }
}
