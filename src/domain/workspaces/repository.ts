import { z } from 'zod';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import type { Workspace } from './types.ts';

interface WorkspaceRow {
  readonly id: string;
  readonly name: string;
  readonly display_name: string;
  readonly description: string;
  readonly time_zone: string;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export interface WorkspaceFields {
  readonly name?: string | undefined;
  readonly displayName?: string | undefined;
  readonly description?: string | undefined;
  readonly timeZone?: string | undefined;
}

const columns = 'id, name, display_name, description, time_zone, created_at, updated_at';
const nameKey = z.tuple([z.string()]);

const toWorkspace = (row: WorkspaceRow): Workspace => ({
  id: row.id,
  name: row.name,
  displayName: row.display_name,
  description: row.description,
  timeZone: row.time_zone,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

/** The statements on `treadle.workspaces`; it checks nothing that the database does not. */
export class WorkspaceRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** By id or name, whichever the reference is. */
  async find(reference: string): Promise<Workspace | undefined> {
    const column = isUuid(reference) ? 'id' : 'name';
    return this.#one(`SELECT ${columns} FROM treadle.workspaces WHERE ${column} = $1`, [reference]);
  }

  /** In the order of their names. */
  async list(request: PageRequest): Promise<Page<Workspace>> {
    const start = await readPageRequest(this.#db, request, { list: 'workspaces', scope: [], key: nameKey });
    const [beyond, order] = start.direction === 'next' ? ['>', 'ASC'] : ['<', 'DESC'];
    const { rows } = await this.#db.query<WorkspaceRow>(
      `SELECT ${columns} FROM treadle.workspaces WHERE $1::text IS NULL OR name ${beyond} $1
       ORDER BY name ${order} LIMIT $2`,
      [start.key?.[0] ?? null, start.limit + 1],
    );
    return pageOf(rows, start, { keyOf: (row) => [row.name], toItem: toWorkspace });
  }

  /** Undefined when the name is taken. */
  async insert(fields: WorkspaceFields & { readonly name: string }): Promise<Workspace | undefined> {
    return this.#one(
      `INSERT INTO treadle.workspaces (name, display_name, description, time_zone)
       VALUES ($1, coalesce($2, ''), coalesce($3, ''), coalesce($4, 'UTC'))
       ON CONFLICT (name) DO NOTHING RETURNING ${columns}`,
      [fields.name, fields.displayName ?? null, fields.description ?? null, fields.timeZone ?? null],
    );
  }

  /** Sets the fields given and leaves the others; undefined when there is no such workspace. */
  async update(id: string, fields: WorkspaceFields): Promise<Workspace | undefined> {
    return this.#one(
      `UPDATE treadle.workspaces SET name = coalesce($2, name), display_name = coalesce($3, display_name),
         description = coalesce($4, description), time_zone = coalesce($5, time_zone), updated_at = clock_timestamp()
       WHERE id = $1 RETURNING ${columns}`,
      [id, fields.name ?? null, fields.displayName ?? null, fields.description ?? null, fields.timeZone ?? null],
    );
  }

  /** With everything in it. */
  async delete(id: string): Promise<boolean> {
    const { rowCount } = await this.#db.query('DELETE FROM treadle.workspaces WHERE id = $1', [id]);
    return rowCount === 1;
  }

  async #one(text: string, values: unknown[]): Promise<Workspace | undefined> {
    const { rows } = await this.#db.query<WorkspaceRow>(text, values);
    return rows[0] && toWorkspace(rows[0]);
  }
}
