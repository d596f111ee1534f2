import type { FeatureType, NodeSummary } from './types.ts';

export interface SummaryRow {
  readonly feature_type: FeatureType;
  readonly entity_id: string;
  readonly node_id: string;
  readonly node_type: string;
  readonly name: string;
  readonly status: string | null;
  readonly position_x: number;
  readonly position_y: number;
  readonly tags: readonly string[];
  readonly revision: number | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export const toSummary = (row: SummaryRow): NodeSummary => ({
  featureType: row.feature_type,
  entityId: row.entity_id,
  ...(row.node_id === '' ? {} : { nodeId: row.node_id }),
  type: row.node_type,
  name: row.name,
  status: row.status,
  position: { x: row.position_x, y: row.position_y },
  tags: row.tags,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
