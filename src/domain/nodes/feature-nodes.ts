import type { Kysely } from 'kysely';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import type { EntityRow, EntityTable } from './entity-table.ts';
import { EntityStore, type EntityDeletion, type EntityUpdate, type Expectation } from './entity-store.ts';
import { eventStorms } from './event-storm-repository.ts';
import { functionModels } from './function-model-repository.ts';
import type { ElementInput, ElementPatch } from './input.ts';
import { sops } from './knowledge-base-repository.ts';
import { spindles } from './spindle-repository.ts';
import type { BaseNode, FeatureType, JsonObject, NodeElement, Position } from './types.ts';

/** The entities of one feature as nodes; see {@link EntityStore}. */
export interface FeatureNodes {
  readonly input: EntityTable<unknown, never>['input'];
  readonly patch: EntityTable<unknown, never>['patch'];
  /** The field that holds what a node calls its name. */
  readonly nameField: 'name' | 'title';
  find(workspaceId: string, id: string): Promise<NodeWithElements | undefined>;
  findAsOf(workspaceId: string, id: string, asOf: Date): Promise<NodeWithElements | undefined>;
  insert(workspaceId: string, parsed: readonly JsonObject[]): Promise<readonly NodeWithElements[]>;
  update(workspaceId: string, updates: readonly EntityUpdate[]): Promise<readonly NodeWithElements[]>;
  delete(workspaceId: string, deletions: readonly EntityDeletion[], actor?: string): Promise<void>;
  addElement(workspaceId: string, id: string, input: ElementInput, expected: Expectation): Promise<NodeWithElements>;
  updateElement(
    workspaceId: string,
    id: string,
    change: Expectation & { readonly nodeId: string; readonly patch: ElementPatch },
  ): Promise<NodeWithElements>;
  removeElement(
    workspaceId: string,
    id: string,
    change: Expectation & { readonly nodeId: string },
  ): Promise<NodeWithElements>;
}

/** An entity as a node, with the elements that it consists of. */
export interface NodeWithElements {
  readonly node: BaseNode;
  readonly elements: readonly NodeElement[];
}

/** What the entities of each feature share, under whichever names. */
interface SharedFields {
  readonly nodes: readonly NodeElement[];
  readonly metadata: JsonObject;
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const atOrigin: Position = { x: 0, y: 0 };

const adapt = <Entity extends SharedFields, Row extends EntityRow>(
  db: Kysely<DB>,
  table: EntityTable<Entity, Row>,
  namesOf: (entity: Entity) => { readonly entityId: string; readonly name: string; readonly position?: Position },
): FeatureNodes => {
  const store = new EntityStore(db, table);
  const nameField = 'title' in table.columns ? 'title' : 'name';
  const toNode = (entity: Entity): NodeWithElements => {
    const { entityId, name, position = atOrigin } = namesOf(entity);
    const data = Object.entries(entity).filter(
      ([field]) => field in table.columns && field !== 'metadata' && field !== nameField,
    );
    return {
      node: {
        featureType: table.feature,
        entityId,
        type: table.feature,
        name,
        position,
        data: Object.fromEntries(data),
        metadata: entity.metadata,
        revision: entity.revision,
        createdAt: entity.createdAt,
        updatedAt: entity.updatedAt,
      },
      elements: entity.nodes,
    };
  };
  const toNodes = async (entities: Promise<readonly Entity[]>) => (await entities).map(toNode);
  const maybe = async (entity: Promise<Entity | undefined>) => {
    const found = await entity;
    return found && toNode(found);
  };
  const one = async (entity: Promise<Entity>) => toNode(await entity);
  return {
    input: table.input,
    patch: table.patch,
    nameField,
    find: (workspaceId, id) => maybe(store.find(workspaceId, id)),
    findAsOf: (workspaceId, id, asOf) => maybe(store.findAsOf(workspaceId, id, asOf)),
    insert: (workspaceId, parsed) => toNodes(store.insert(workspaceId, parsed)),
    update: (workspaceId, updates) => toNodes(store.update(workspaceId, updates)),
    delete: (workspaceId, deletions, actor) => store.delete(workspaceId, deletions, actor),
    addElement: (workspaceId, id, input, expected) => one(store.addElement(workspaceId, id, input, expected)),
    updateElement: (workspaceId, id, change) => one(store.updateElement(workspaceId, id, change)),
    removeElement: (workspaceId, id, change) => one(store.removeElement(workspaceId, id, change)),
  };
};

/** The nodes of every feature on one connection. */
export const featureNodesOn = (db: Kysely<DB>): Readonly<Record<FeatureType, FeatureNodes>> => ({
  'function-model': adapt(db, functionModels, ({ modelId, name }) => ({ entityId: modelId, name })),
  'knowledge-base': adapt(db, sops, ({ sopId, title, position }) => ({ entityId: sopId, name: title, position })),
  'event-storm': adapt(db, eventStorms, ({ stormId, name }) => ({ entityId: stormId, name })),
  spindle: adapt(db, spindles, ({ spindleId, name }) => ({ entityId: spindleId, name })),
});
