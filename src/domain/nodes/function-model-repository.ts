import type { Kysely } from 'kysely';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { commonOf, diagramColumns, diagramDefaults, type EntityRow, type EntityTable } from './entity-table.ts';
import { EntityStore, type Expectation } from './entity-store.ts';
import {
  functionModelInput,
  functionModelPatch,
  type ElementInput,
  type ElementPatch,
  type FunctionModelInput,
  type FunctionModelPatch,
} from './input.ts';
import type { FunctionModel, NodeElement } from './types.ts';

interface FunctionModelRow extends EntityRow {
  readonly model_id: string;
  readonly name: string;
  readonly description: string | null;
  readonly status: FunctionModel['status'];
  readonly edges_data: FunctionModel['edges'];
  readonly viewport_data: FunctionModel['viewport'];
  readonly process_type: string | null;
  readonly complexity_level: string | null;
  readonly estimated_duration: number | null;
  readonly metadata: FunctionModel['metadata'];
  readonly permissions: FunctionModel['permissions'];
  readonly last_saved_at: Date;
}

export const functionModels: EntityTable<FunctionModel, FunctionModelRow> = {
  feature: 'function-model',
  table: 'function_models',
  idColumn: 'model_id',
  columns: {
    ...diagramColumns,
    processType: 'process_type',
    complexityLevel: 'complexity_level',
    estimatedDuration: 'estimated_duration',
    permissions: 'permissions',
  },
  defaults: {
    ...diagramDefaults,
    process_type: null,
    complexity_level: null,
    estimated_duration: null,
    permissions: {},
  },
  input: functionModelInput,
  patch: functionModelPatch,
  idOf: (row) => row.model_id,
  toEntity: (row) => ({
    modelId: row.model_id,
    ...commonOf(row),
    name: row.name,
    description: row.description,
    status: row.status,
    edges: row.edges_data,
    viewport: row.viewport_data,
    processType: row.process_type,
    complexityLevel: row.complexity_level,
    estimatedDuration: row.estimated_duration,
    metadata: row.metadata,
    permissions: row.permissions,
    lastSavedAt: row.last_saved_at,
  }),
};

/** Function models: processes drawn as steps. Every method names the workspace. */
export class FunctionModelRepository {
  readonly entities: EntityStore<FunctionModel, FunctionModelRow>;

  constructor(db: Kysely<DB>) {
    this.entities = new EntityStore(db, functionModels);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND for the workspace. */
  createFunctionModel(workspaceId: string, model: FunctionModelInput): Promise<FunctionModel> {
    return this.entities.insertOne(workspaceId, model);
  }

  getFunctionModel(workspaceId: string, modelId: string): Promise<FunctionModel | undefined> {
    return this.entities.find(workspaceId, modelId);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND, DATA_CONSISTENCY_ERROR when it has another revision by now. */
  updateFunctionModel(
    workspaceId: string,
    modelId: string,
    updates: FunctionModelPatch,
    expected: Expectation = {},
  ): Promise<FunctionModel> {
    return this.entities.updateOne(workspaceId, { id: modelId, patch: updates, ...expected });
  }

  /** Marks it as deleted; its links go. @throws AppError NOT_FOUND, DATA_CONSISTENCY_ERROR. */
  deleteFunctionModel(workspaceId: string, modelId: string, expected: Expectation = {}): Promise<void> {
    return this.entities.delete(workspaceId, [{ id: modelId, ...expected }]);
  }

  /** See {@link EntityStore.addElement}. */
  addNodeToFunctionModel(
    workspaceId: string,
    modelId: string,
    node: ElementInput,
    expected: Expectation = {},
  ): Promise<FunctionModel> {
    return this.entities.addElement(workspaceId, modelId, node, expected);
  }

  /** See {@link EntityStore.updateElement}. */
  updateNodeInFunctionModel(
    workspaceId: string,
    modelId: string,
    change: Expectation & { readonly nodeId: string; readonly patch: ElementPatch },
  ): Promise<FunctionModel> {
    return this.entities.updateElement(workspaceId, modelId, change);
  }

  /** See {@link EntityStore.removeElement}. */
  removeNodeFromFunctionModel(
    workspaceId: string,
    modelId: string,
    change: Expectation & { readonly nodeId: string },
  ): Promise<FunctionModel> {
    return this.entities.removeElement(workspaceId, modelId, change);
  }

  /** Undefined when there is no such function model. */
  async getFunctionModelNodes(workspaceId: string, modelId: string): Promise<readonly NodeElement[] | undefined> {
    return (await this.entities.find(workspaceId, modelId))?.nodes;
  }

  /** The function model with its nodes, as {@link getFunctionModel} answers it. */
  getFunctionModelWithNodes(workspaceId: string, modelId: string): Promise<FunctionModel | undefined> {
    return this.entities.find(workspaceId, modelId);
  }
}
