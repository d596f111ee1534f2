import { sql, type Kysely } from 'kysely';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { commonOf, diagramColumns, diagramDefaults, type EntityRow, type EntityTable } from './entity-table.ts';
import { EntityStore, type Expectation } from './entity-store.ts';
import { spindleInput, spindlePatch, type SpindleInput, type SpindlePatch } from './input.ts';
import type { Execution, Spindle } from './types.ts';

interface SpindleRow extends EntityRow {
  readonly spindle_id: string;
  readonly name: string;
  readonly description: string | null;
  readonly status: Spindle['status'];
  readonly edges_data: Spindle['edges'];
  readonly viewport_data: Spindle['viewport'];
  readonly spindle_type: string | null;
  readonly complexity_level: string | null;
  readonly metadata: Spindle['metadata'];
}

export const spindles: EntityTable<Spindle, SpindleRow> = {
  feature: 'spindle',
  table: 'spindles',
  idColumn: 'spindle_id',
  columns: { ...diagramColumns, spindleType: 'spindle_type', complexityLevel: 'complexity_level' },
  defaults: { ...diagramDefaults, spindle_type: null, complexity_level: null },
  input: spindleInput,
  patch: spindlePatch,
  idOf: (row) => row.spindle_id,
  toEntity: (row) => ({
    spindleId: row.spindle_id,
    ...commonOf(row),
    name: row.name,
    description: row.description,
    status: row.status,
    edges: row.edges_data,
    viewport: row.viewport_data,
    spindleType: row.spindle_type,
    complexityLevel: row.complexity_level,
    metadata: row.metadata,
  }),
};

interface ExecutionRow {
  readonly execution_id: string;
  readonly status: Execution['status'];
  readonly context: unknown;
  readonly result: unknown;
  readonly error: unknown;
  readonly job_id: string | null;
  readonly actor: string | null;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
}

const toExecution = (row: ExecutionRow): Execution => ({
  executionId: row.execution_id,
  status: row.status,
  context: row.context,
  result: row.result,
  error: row.error,
  jobId: row.job_id,
  actor: row.actor,
  createdAt: row.created_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
});

/** Spindles: integration flows. Every method names the workspace. */
export class SpindleRepository {
  readonly entities: EntityStore<Spindle, SpindleRow>;
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
    this.entities = new EntityStore(db, spindles);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND for the workspace. */
  createSpindle(workspaceId: string, spindle: SpindleInput): Promise<Spindle> {
    return this.entities.insertOne(workspaceId, spindle);
  }

  getSpindle(workspaceId: string, spindleId: string): Promise<Spindle | undefined> {
    return this.entities.find(workspaceId, spindleId);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND, DATA_CONSISTENCY_ERROR when it has another revision by now. */
  updateSpindle(
    workspaceId: string,
    spindleId: string,
    updates: SpindlePatch,
    expected: Expectation = {},
  ): Promise<Spindle> {
    return this.entities.updateOne(workspaceId, { id: spindleId, patch: updates, ...expected });
  }

  /** Marks it as deleted; its links go. @throws AppError NOT_FOUND, DATA_CONSISTENCY_ERROR. */
  deleteSpindle(workspaceId: string, spindleId: string, expected: Expectation = {}): Promise<void> {
    return this.entities.delete(workspaceId, [{ id: spindleId, ...expected }]);
  }

  /** Its runs, latest first, 100 at most. */
  async getSpindleExecutionHistory(workspaceId: string, spindleId: string): Promise<readonly Execution[]> {
    if (!isUuid(workspaceId) || !isUuid(spindleId)) return [];
    const { rows } = await sql<ExecutionRow>`SELECT * FROM treadle.executions
      WHERE workspace_id = ${workspaceId} AND kind = 'spindle' AND entity_id = ${spindleId}
      ORDER BY created_at DESC, execution_id DESC LIMIT 100`.execute(this.#db);
    return rows.map(toExecution);
  }

  /** @throws as {@link updateSpindle}. */
  updateSpindleStatus(
    workspaceId: string,
    spindleId: string,
    status: 'active' | 'inactive' | 'error',
    expected: Expectation = {},
  ): Promise<Spindle> {
    return this.entities.updateOne(workspaceId, { id: spindleId, patch: { status }, ...expected });
  }
}
