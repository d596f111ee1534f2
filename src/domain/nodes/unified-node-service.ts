import type { Kysely } from 'kysely';
import { notFound, validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import { announceChange, type Change } from '../knowledge/change.ts';
import {
  allValid,
  checkCreation,
  checkDeletion,
  checkUpdate,
  faultsOfList,
  validOnes,
  type NodeDeletion,
  type NodeUpdate,
  type Valid,
} from './check-batch.ts';
import type { EntityDeletion, EntityUpdate, Expectation } from './entity-store.ts';
import { featureNodesOn, type FeatureNodes, type NodeWithElements } from './feature-nodes.ts';
import {
  featureType as knownFeature,
  nodeInput,
  nodePatch,
  type ConnectionsInput,
  type LinkInput,
  type NodeInput,
  type NodePatch,
} from './input.ts';
import { LinkRepository } from './link-repository.ts';
import type {
  BaseNode,
  ConnectedNode,
  FeatureType,
  JsonObject,
  NodeElement,
  NodeLink,
  NodeReference,
} from './types.ts';

/** A change that may be part of the caller's own open transaction. */
export interface NodeChange extends Change {
  readonly tx?: Transaction | undefined;
}

/** Entities to make, change and delete, all or none. */
export interface NodeBatch {
  readonly create?: readonly NodeInput[];
  readonly update?: readonly NodeUpdate[];
  readonly delete?: readonly NodeDeletion[];
}

export interface NodeBatchResult {
  readonly created: readonly BaseNode[];
  readonly updated: readonly BaseNode[];
  readonly deleted: number;
}

const elementOf = (node: BaseNode, element: NodeElement): BaseNode => ({
  ...node,
  nodeId: element.id,
  type: element.type,
  name: element.name,
  position: element.position,
  data: element.data,
  metadata: element.metadata,
});

const pickElement = ({ node, elements }: NodeWithElements, nodeId: string): BaseNode | undefined => {
  const element = elements.find(({ id }) => id === nodeId);
  return element && elementOf(node, element);
};

const requireElement = (found: NodeWithElements, nodeId: string): BaseNode => {
  const node = pickElement(found, nodeId);
  if (!node) throw notFound('node', nodeId);
  return node;
};

/** Changes of nodes of all features, and what can be asked of one. Every change leaves an event in its transaction. */
export class UnifiedNodeService {
  readonly #postgres: Postgres;
  readonly #features: Readonly<Record<FeatureType, FeatureNodes>>;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
    this.#features = featureNodesOn(postgres.reader.db);
  }

  /**
   * Makes an entity, or with `nodeId` an element of one.
   * @throws AppError VALIDATION_ERROR naming the fields, NOT_FOUND for workspace or entity, DATA_CONSISTENCY_ERROR for a
   * `nodeId` that is taken.
   */
  async createNode(workspaceId: string, input: NodeInput, context: NodeChange & Expectation = {}): Promise<BaseNode> {
    const node = parseOrThrow(nodeInput, input, 'the node');
    const { featureType, entityId, nodeId } = node;
    if (entityId === undefined || nodeId === undefined) {
      const [created] = await this.batchCreateNodes(workspaceId, [input], context);
      if (!created) throw new Error('INSERT answered no row');
      return created;
    }
    const { type, name, position, data, metadata } = node;
    const element = {
      id: nodeId,
      name,
      data,
      metadata,
      ...(type === undefined ? {} : { type }),
      ...(position ? { position } : {}),
    };
    return this.#change('nodes.create', context, async (db) =>
      requireElement(await featureNodesOn(db)[featureType].addElement(workspaceId, entityId, element, context), nodeId),
    );
  }

  /** Undefined for a node of another workspace too. @throws AppError VALIDATION_ERROR for an unknown feature. */
  async getNode(workspaceId: string, reference: NodeReference): Promise<BaseNode | undefined> {
    const found = await this.#nodes(reference.featureType).find(workspaceId, reference.entityId);
    return found && (reference.nodeId === undefined ? found.node : pickElement(found, reference.nodeId));
  }

  /** As {@link getNode} at that time, told by the events. */
  async getNodeAsOf(workspaceId: string, reference: NodeReference, asOf: Date): Promise<BaseNode | undefined> {
    const found = await this.#nodes(reference.featureType).findAsOf(workspaceId, reference.entityId, asOf);
    return found && (reference.nodeId === undefined ? found.node : pickElement(found, reference.nodeId));
  }

  /** Changes the given fields; `data` only those it names. @throws AppError as {@link batchUpdateNodes}. */
  async updateNode(
    workspaceId: string,
    { featureType, entityId, nodeId }: NodeReference,
    updates: NodePatch,
    context: NodeChange & Expectation = {},
  ): Promise<BaseNode> {
    const { expectedRevision } = context;
    if (nodeId === undefined) {
      const [updated] = await this.batchUpdateNodes(
        workspaceId,
        [{ featureType, entityId, updates, expectedRevision }],
        context,
      );
      if (!updated) throw notFound(featureType, entityId);
      return updated;
    }
    this.#nodes(featureType);
    const patch = parseOrThrow(nodePatch, updates, 'the node');
    return this.#change('nodes.update', context, async (db) => {
      const change = { nodeId, patch, expectedRevision };
      return requireElement(await featureNodesOn(db)[featureType].updateElement(workspaceId, entityId, change), nodeId);
    });
  }

  /** Its links go with it. @throws AppError NOT_FOUND, DATA_CONSISTENCY_ERROR. */
  async deleteNode(
    workspaceId: string,
    { featureType, entityId, nodeId }: NodeReference,
    context: NodeChange & Expectation = {},
  ): Promise<void> {
    const { expectedRevision } = context;
    if (nodeId === undefined)
      return this.batchDeleteNodes(workspaceId, [{ featureType, entityId, expectedRevision }], context);
    this.#nodes(featureType);
    await this.#change('nodes.delete', context, (db) =>
      featureNodesOn(db)[featureType].removeElement(workspaceId, entityId, { nodeId, expectedRevision }),
    );
  }

  /** See {@link LinkRepository.createNodeLink}. */
  createLink(workspaceId: string, link: LinkInput, context: NodeChange = {}): Promise<NodeLink> {
    return this.#change('nodes.link', context, (db) =>
      new LinkRepository(db).createNodeLink(workspaceId, link, context.actor),
    );
  }

  /** @throws AppError NOT_FOUND. */
  removeLink(workspaceId: string, linkId: string, context: NodeChange = {}): Promise<void> {
    return this.#change('nodes.unlink', context, (db) => new LinkRepository(db).removeNodeLink(workspaceId, linkId));
  }

  /** See {@link LinkRepository.getConnectedNodes}. */
  getConnectedNodes(
    workspaceId: string,
    reference: NodeReference,
    how: ConnectionsInput = {},
  ): Promise<readonly ConnectedNode[]> {
    return new LinkRepository(this.#postgres.reader.db).getConnectedNodes(workspaceId, reference, how);
  }

  /**
   * Makes entities, all or none, in one statement a feature, and answers them in order.
   * @throws AppError VALIDATION_ERROR naming every fault with the index of its node, NOT_FOUND for the workspace.
   */
  async batchCreateNodes(
    workspaceId: string,
    inputs: readonly NodeInput[],
    context: NodeChange = {},
  ): Promise<readonly BaseNode[]> {
    const checked = allValid(inputs.map((input) => checkCreation(this.#features, input)));
    return this.#change('nodes.create', context, (db) => this.#create(db, workspaceId, checked));
  }

  /**
   * Changes entities, all or none, in one statement a feature, and answers them in order.
   * @throws AppError VALIDATION_ERROR naming every fault with the index of its node; NOT_FOUND, and DATA_CONSISTENCY_ERROR
   * for one that has another revision than was expected.
   */
  async batchUpdateNodes(
    workspaceId: string,
    updates: readonly NodeUpdate[],
    context: NodeChange = {},
  ): Promise<readonly BaseNode[]> {
    const checked = allValid(updates.map((update) => checkUpdate(this.#features, update)));
    return this.#change('nodes.update', context, (db) => this.#update(db, workspaceId, checked));
  }

  /** Deletes entities, all or none, in one statement a feature. @throws AppError as {@link batchUpdateNodes}. */
  async batchDeleteNodes(
    workspaceId: string,
    deletions: readonly NodeDeletion[],
    context: NodeChange = {},
  ): Promise<void> {
    const checked = allValid(deletions.map(checkDeletion));
    await this.#change('nodes.delete', context, (db) => this.#delete(db, workspaceId, checked, context.actor));
  }

  /**
   * Makes, changes and deletes entities, in that order, all or none.
   * @throws AppError VALIDATION_ERROR naming every fault of all three lists, such as `update[3].data.status`; else as
   * {@link batchUpdateNodes}.
   */
  async applyBatch(workspaceId: string, batch: NodeBatch, context: NodeChange = {}): Promise<NodeBatchResult> {
    const create = (batch.create ?? []).map((input) => checkCreation(this.#features, input));
    const update = (batch.update ?? []).map((one) => checkUpdate(this.#features, one));
    const doomed = (batch.delete ?? []).map(checkDeletion);
    const faults = [
      ...faultsOfList(create, 'create'),
      ...faultsOfList(update, 'update', batch.update),
      ...faultsOfList(doomed, 'delete', batch.delete),
    ];
    if (faults.length > 0) throw validationError('the batch', faults);
    return this.#change('nodes.batch', context, async (db) => {
      const created = await this.#create(db, workspaceId, validOnes(create));
      const updated = await this.#update(db, workspaceId, validOnes(update));
      await this.#delete(db, workspaceId, validOnes(doomed), context.actor);
      return { created, updated, deleted: doomed.length };
    });
  }

  #create(db: Kysely<DB>, workspaceId: string, valid: readonly Valid<JsonObject>[]): Promise<readonly BaseNode[]> {
    return this.#byFeature(valid, (featureType, fields) => featureNodesOn(db)[featureType].insert(workspaceId, fields));
  }

  #update(db: Kysely<DB>, workspaceId: string, valid: readonly Valid<EntityUpdate>[]): Promise<readonly BaseNode[]> {
    return this.#byFeature(valid, (featureType, updates) =>
      featureNodesOn(db)[featureType].update(workspaceId, updates),
    );
  }

  async #delete(
    db: Kysely<DB>,
    workspaceId: string,
    valid: readonly Valid<EntityDeletion>[],
    actor: string | undefined,
  ): Promise<void> {
    await this.#byFeature(valid, async (featureType, ids) => {
      await featureNodesOn(db)[featureType].delete(workspaceId, ids, actor);
      return [];
    });
  }

  #nodes(featureType: FeatureType): FeatureNodes {
    return this.#features[parseOrThrow(knownFeature, featureType, 'the feature')];
  }

  #change<T>(name: string, { tx, actor, changeSummary }: NodeChange, work: (db: Kysely<DB>) => Promise<T>): Promise<T> {
    const announced = async (open: Transaction): Promise<T> => {
      await announceChange(open, { actor, changeSummary });
      return work(open.db);
    };
    return tx ? announced(tx) : this.#postgres.transaction(announced, { name });
  }

  /** Runs one statement a feature, and puts the answers into the order of the batch. */
  async #byFeature<T>(
    batch: readonly Valid<T>[],
    run: (featureType: FeatureType, values: readonly T[]) => Promise<readonly NodeWithElements[]>,
  ): Promise<readonly BaseNode[]> {
    const answers = new Map<FeatureType, Iterator<NodeWithElements>>();
    // In one order, so that two batches wait for each other in that order.
    for (const featureType of [...new Set(batch.map((one) => one.featureType))].toSorted()) {
      const values = batch.filter((one) => one.featureType === featureType).map(({ value }) => value);
      answers.set(featureType, (await run(featureType, values)).values());
    }
    return batch.flatMap(({ featureType }) => {
      const next = answers.get(featureType)?.next();
      return next && !next.done ? [next.value.node] : [];
    });
  }
}
