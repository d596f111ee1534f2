import { notFound } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import type { VectorDatabase } from '../embeddings/vector-database.ts';
import { featureType as knownFeature, nodeReference } from './input.ts';
import type { FeatureType, NodeReference } from './types.ts';

export interface SimilarNode {
  readonly node: NodeReference;
  /** Cosine, -1 to 1. */
  readonly similarity: number;
}

/** Where the database looks for them too, when a node is deleted. */
const namespaceOf = (feature: FeatureType): string => `nodes.${feature}`;
const idOf = ({ entityId, nodeId }: NodeReference): string =>
  nodeId === undefined ? entityId.toLowerCase() : `${entityId.toLowerCase()}/${nodeId}`;

const idLength = 36;
const referenceOf = (featureType: FeatureType, id: string): NodeReference => {
  const entityId = id.slice(0, idLength);
  return id.length === idLength ? { featureType, entityId } : { featureType, entityId, nodeId: id.slice(idLength + 1) };
};

/** Vectors of nodes, brought by whoever makes them; each goes with its node. */
export class NodeVectors {
  readonly #vectors: VectorDatabase;

  constructor(vectors: VectorDatabase) {
    this.#vectors = vectors;
  }

  /**
   * Keeps the vector of an entity or an element, in place of the one it has.
   * @throws AppError VALIDATION_ERROR (`vector`), NOT_FOUND for the node.
   */
  async updateVectorEmbedding(
    workspaceId: string,
    reference: NodeReference,
    embedding: readonly number[],
  ): Promise<void> {
    const node = parseOrThrow(nodeReference, reference, 'the node');
    const unknown = notFound(node.nodeId === undefined ? node.featureType : 'node', node.nodeId ?? node.entityId);
    if (!isUuid(workspaceId)) throw unknown;
    const hold = async (tx: Queryable): Promise<void> => {
      const { rows } = await tx.query(
        `SELECT FROM treadle.node_metadata
         WHERE workspace_id = $1 AND feature_type = $2 AND entity_id = $3 AND node_id = $4 AND deleted_at IS NULL FOR SHARE`,
        [workspaceId, node.featureType, node.entityId, node.nodeId ?? ''],
      );
      if (rows.length === 0) throw unknown;
    };
    const scope = { workspaceId, namespace: namespaceOf(node.featureType) };
    await this.#vectors.insertVector(scope, { id: idOf(node), vector: embedding }, { holding: hold });
  }

  /** Whether it had one. */
  async deleteVectorEmbedding(workspaceId: string, reference: NodeReference): Promise<boolean> {
    const node = parseOrThrow(nodeReference, reference, 'the node');
    if (!isUuid(workspaceId)) return false;
    return this.#vectors.deleteVector({ workspaceId, namespace: namespaceOf(node.featureType) }, idOf(node));
  }

  /** The nodes of a feature whose vectors are nearest, best first: 10, at most 1,000. @throws AppError VALIDATION_ERROR. */
  async searchNodes(
    workspaceId: string,
    feature: FeatureType,
    embedding: readonly number[],
    limit = 10,
  ): Promise<readonly SimilarNode[]> {
    parseOrThrow(knownFeature, feature, 'the feature');
    const scope = { workspaceId, namespace: namespaceOf(feature) };
    const found = await this.#vectors.searchVectors(scope, embedding, limit);
    return found.map(({ id, similarity }) => ({ node: referenceOf(feature, id), similarity }));
  }
}
