import { sql, type Kysely, type RawBuilder } from 'kysely';
import { AppError, notFound, validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { uuidV7 } from '../../lib/ids/uuid-v7.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { columnsOf, type EntityRow, type EntityTable } from './entity-table.ts';
import { elementInput, elementPatch, type ElementInput, type ElementPatch } from './input.ts';

/** Refuses the change unless the entity still has this revision. */
export interface Expectation {
  readonly expectedRevision?: number | undefined;
}

export interface EntityUpdate extends Expectation {
  readonly id: string;
  readonly patch: Readonly<Record<string, unknown>>;
}

export interface EntityDeletion extends Expectation {
  readonly id: string;
}

/** Sets a column to its list without the items that meet the condition. */
const without = (column: string, condition: RawBuilder<unknown>): RawBuilder<unknown> =>
  sql`${sql.ref(column)} = (SELECT coalesce(jsonb_agg(item ORDER BY place) FILTER (WHERE NOT (${condition})), '[]')
    FROM jsonb_array_elements(${sql.ref(column)}) WITH ORDINALITY AS listed (item, place))`;

/** Statements that change some of the same entities lock them in one order, whatever order they are named in. */
const inOneOrder = <T extends EntityDeletion>(list: readonly T[]): readonly T[] =>
  list.toSorted((a, b) => (a.id.toLowerCase() < b.id.toLowerCase() ? -1 : 1));

/** The statements on the entities of one feature, each for any number of them. What is deleted is as if it were not there. */
export class EntityStore<Entity, Row extends EntityRow> {
  readonly table: EntityTable<Entity, Row>;
  readonly #db: Kysely<DB>;
  readonly #name: RawBuilder<unknown>;
  readonly #id: RawBuilder<unknown>;
  readonly #columns: RawBuilder<unknown>;

  constructor(db: Kysely<DB>, table: EntityTable<Entity, Row>) {
    this.#db = db;
    this.table = table;
    this.#name = sql.table(`treadle.${table.table}`);
    this.#id = sql.ref(table.idColumn);
    this.#columns = sql.join(Object.values(table.columns).map((column) => sql.ref(column)));
  }

  /** Undefined for an entity of another workspace too. */
  async find(workspaceId: string, id: string): Promise<Entity | undefined> {
    if (!isUuid(workspaceId) || !isUuid(id)) return undefined;
    const row = await this.#row(workspaceId, id);
    return row && this.table.toEntity(row);
  }

  /** As its events tell that it was at that time; undefined when it was not there then, or deleted. */
  async findAsOf(workspaceId: string, id: string, asOf: Date): Promise<Entity | undefined> {
    if (!isUuid(workspaceId) || !isUuid(id)) return undefined;
    const { rows } = await sql<Row>`SELECT entity.*
      FROM jsonb_populate_record(NULL::${this.#name}, treadle.node_state(${this.table.feature}, ${id}, ${asOf})) AS entity
      WHERE entity.workspace_id = ${workspaceId} AND entity.deleted_at IS NULL`.execute(this.#db);
    return rows[0] && this.table.toEntity(rows[0]);
  }

  /**
   * Writes new entities in one statement, and answers them in order. They have been parsed by the table's `input`.
   * @throws AppError NOT_FOUND for the workspace.
   */
  async insert(workspaceId: string, given: readonly Readonly<Record<string, unknown>>[]): Promise<readonly Entity[]> {
    const { defaults, idColumn } = this.table;
    if (!isUuid(workspaceId)) throw notFound('workspace', workspaceId);
    const rows = given.map((fields) => ({
      ...defaults,
      ...columnsOf(this.table, fields),
      [idColumn]: uuidV7(),
    }));
    const { rows: written } = await explainConstraints(
      { [`${this.table.table}_workspace_fkey`]: () => notFound('workspace', workspaceId) },
      () =>
        sql<Row>`INSERT INTO ${this.#name} (workspace_id, ${this.#id}, ${this.#columns})
          SELECT ${workspaceId}, ${this.#id}, ${this.#columns}
          FROM jsonb_populate_recordset(NULL::${this.#name}, ${JSON.stringify(rows)}::jsonb)
          RETURNING *`.execute(this.#db),
    );
    return this.#inOrder(
      rows.map((row) => String(row[idColumn])),
      written,
    );
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND for the workspace. */
  async insertOne(workspaceId: string, input: unknown): Promise<Entity> {
    const { table } = this;
    const [entity] = await this.insert(workspaceId, [parseOrThrow(table.input, input, `the ${table.feature}`)]);
    if (entity === undefined) throw new Error('INSERT answered no row');
    return entity;
  }

  /**
   * Changes entities in one statement, and answers them in order. The patches have been parsed by the table's `patch`.
   * @throws AppError VALIDATION_ERROR for an entity named twice; NOT_FOUND or DATA_CONSISTENCY_ERROR (another revision by now)
   * for the first that could not be changed: the caller's transaction is to be rolled back then.
   */
  async update(workspaceId: string, updates: readonly EntityUpdate[]): Promise<readonly Entity[]> {
    this.#refuseTwice(updates);
    for (const { id } of updates) if (!isUuid(id) || !isUuid(workspaceId)) throw notFound(this.table.feature, id);
    const given = inOneOrder(updates).map(({ id, expectedRevision, patch }) => ({
      id,
      revision: expectedRevision,
      patch: columnsOf(this.table, patch),
    }));
    const { rows } = await sql<Row>`UPDATE ${this.#name} AS entity
      SET (${this.#columns}) = (SELECT ${this.#columns} FROM jsonb_populate_record(entity, given.patch))
      FROM jsonb_to_recordset(${JSON.stringify(given)}::jsonb) AS given (id uuid, revision integer, patch jsonb)
      WHERE entity.workspace_id = ${workspaceId} AND entity.${this.#id} = given.id AND entity.deleted_at IS NULL
        AND entity.revision = coalesce(given.revision, entity.revision)
      RETURNING entity.*`.execute(this.#db);
    return this.#allOf(workspaceId, updates, rows);
  }

  /** @throws AppError VALIDATION_ERROR, and as {@link update}. */
  async updateOne(
    workspaceId: string,
    { patch, ...which }: EntityDeletion & { readonly patch: unknown },
  ): Promise<Entity> {
    const { table } = this;
    const parsed = parseOrThrow(table.patch, patch, `the ${table.feature}`);
    const [entity] = await this.update(workspaceId, [{ ...which, patch: parsed }]);
    if (entity === undefined) throw notFound(table.feature, which.id);
    return entity;
  }

  /** Marks entities as deleted in one statement; their links go with them. @throws as {@link update}. */
  async delete(workspaceId: string, deletions: readonly EntityDeletion[], actor?: string): Promise<void> {
    this.#refuseTwice(deletions);
    for (const { id } of deletions) if (!isUuid(id) || !isUuid(workspaceId)) throw notFound(this.table.feature, id);
    const given = inOneOrder(deletions).map(({ id, expectedRevision }) => ({ id, revision: expectedRevision }));
    const { rows } =
      await sql<Row>`UPDATE ${this.#name} AS entity SET deleted_at = clock_timestamp(), deleted_by = ${actor ?? null}
      FROM jsonb_to_recordset(${JSON.stringify(given)}::jsonb) AS given (id uuid, revision integer)
      WHERE entity.workspace_id = ${workspaceId} AND entity.${this.#id} = given.id AND entity.deleted_at IS NULL
        AND entity.revision = coalesce(given.revision, entity.revision)
      RETURNING entity.*`.execute(this.#db);
    await this.#allOf(workspaceId, deletions, rows);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND, DATA_CONSISTENCY_ERROR for another revision or an id that is taken. */
  async addElement(workspaceId: string, id: string, input: ElementInput, expected: Expectation = {}): Promise<Entity> {
    const element = parseOrThrow(elementInput, input, 'the node');
    return explainConstraints(
      {
        [`${this.table.table}_elements`]: () =>
          new AppError('DATA_CONSISTENCY_ERROR', 'the entity has a node of this id already', {
            entity: 'node',
            entityId: element.id,
          }),
      },
      () =>
        this.#changeElements(
          workspaceId,
          id,
          expected,
          sql`nodes_data = nodes_data || ${JSON.stringify([element])}::jsonb`,
        ),
    );
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND for the entity or the element, DATA_CONSISTENCY_ERROR for another revision. */
  async updateElement(
    workspaceId: string,
    id: string,
    change: Expectation & { readonly nodeId: string; readonly patch: ElementPatch },
  ): Promise<Entity> {
    const patch = parseOrThrow(elementPatch, change.patch, 'the node');
    const set = sql`nodes_data = (
      SELECT jsonb_agg(CASE WHEN element ->> 'id' = ${change.nodeId} THEN element || ${JSON.stringify(patch)}::jsonb ELSE element END ORDER BY place)
      FROM jsonb_array_elements(nodes_data) WITH ORDINALITY AS listed (element, place))`;
    return this.#changeElements(workspaceId, id, change, set, change.nodeId);
  }

  /** Takes the element away, with the edges and links at it. @throws as {@link updateElement}. */
  async removeElement(
    workspaceId: string,
    id: string,
    { nodeId, ...expected }: Expectation & { readonly nodeId: string },
  ): Promise<Entity> {
    const sets = [without('nodes_data', sql`item ->> 'id' = ${nodeId}`)];
    if ('edges_data' in this.table.defaults)
      sets.push(
        without('edges_data', sql`${nodeId} IN (coalesce(item ->> 'source', ''), coalesce(item ->> 'target', ''))`),
      );
    return this.#changeElements(workspaceId, id, expected, sql.join(sets), nodeId);
  }

  async #changeElements(
    workspaceId: string,
    id: string,
    { expectedRevision }: Expectation,
    set: RawBuilder<unknown>,
    nodeId?: string,
  ): Promise<Entity> {
    if (!isUuid(workspaceId) || !isUuid(id)) throw notFound(this.table.feature, id);
    const there = nodeId === undefined ? sql`true` : sql`nodes_data @> ${JSON.stringify([{ id: nodeId }])}::jsonb`;
    const { rows } = await sql<Row>`UPDATE ${this.#name} SET ${set}
      WHERE workspace_id = ${workspaceId} AND ${this.#id} = ${id} AND deleted_at IS NULL AND ${there}
        AND revision = coalesce(${expectedRevision ?? null}::integer, revision)
      RETURNING *`.execute(this.#db);
    const [row] = rows;
    if (row) return this.table.toEntity(row);
    throw await this.#refusal(workspaceId, id, expectedRevision, nodeId);
  }

  async #row(workspaceId: string, id: string): Promise<Row | undefined> {
    const { rows } = await sql<Row>`SELECT * FROM ${this.#name}
      WHERE workspace_id = ${workspaceId} AND ${this.#id} = ${id} AND deleted_at IS NULL`.execute(this.#db);
    return rows[0];
  }

  /** Why a change found no row. */
  async #refusal(workspaceId: string, id: string, expected: number | undefined, nodeId?: string): Promise<AppError> {
    const row = await this.#row(workspaceId, id);
    if (!row) return notFound(this.table.feature, id);
    if (nodeId !== undefined && !row.nodes_data.some((element) => element.id === nodeId))
      return notFound('node', nodeId);
    return new AppError(
      'DATA_CONSISTENCY_ERROR',
      `the ${this.table.feature} has revision ${row.revision} by now: read it again before changing it`,
      { entity: this.table.feature, entityId: id, expected, actual: row.revision },
    );
  }

  async #allOf(
    workspaceId: string,
    wanted: readonly EntityDeletion[],
    rows: readonly Row[],
  ): Promise<readonly Entity[]> {
    const ids = wanted.map(({ id }) => id.toLowerCase());
    const entities = this.#inOrder(ids, rows);
    if (entities.length === wanted.length) return entities;
    const done = new Set(rows.map((row) => this.table.idOf(row)));
    const left = wanted.find(({ id }) => !done.has(id.toLowerCase()));
    throw await this.#refusal(workspaceId, left?.id ?? '', left?.expectedRevision);
  }

  #inOrder(ids: readonly string[], rows: readonly Row[]): readonly Entity[] {
    const byId = new Map(rows.map((row) => [this.table.idOf(row), row]));
    return ids.flatMap((id) => {
      const row = byId.get(id);
      return row ? [this.table.toEntity(row)] : [];
    });
  }

  #refuseTwice(list: readonly EntityDeletion[]): void {
    const seen = new Set(list.map(({ id }) => id.toLowerCase()));
    if (seen.size === list.length) return;
    throw validationError('the batch', [{ path: '', message: 'names an entity twice' }]);
  }
}
