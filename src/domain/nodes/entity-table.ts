import type { z } from 'zod';
import type { FeatureType, NodeElement } from './types.ts';

/** How the entities of one feature lie in their table. */
export interface EntityTable<Entity, Row> {
  readonly feature: FeatureType;
  /** In the schema `treadle`. */
  readonly table: string;
  readonly idColumn: string;
  /** The columns that a writer sets, by the names of the fields. */
  readonly columns: Readonly<Record<string, string>>;
  /** Of a new entity, by column. */
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly input: z.ZodType<Readonly<Record<string, unknown>>>;
  readonly patch: z.ZodType<Readonly<Record<string, unknown>>>;
  idOf(this: void, row: Row): string;
  toEntity(this: void, row: Row): Entity;
}

/** What the rows of all features have. */
export interface EntityRow {
  readonly workspace_id: string;
  readonly version: string;
  readonly nodes_data: readonly NodeElement[];
  readonly tags: readonly string[];
  readonly revision: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export const diagramColumns = {
  name: 'name',
  description: 'description',
  version: 'version',
  status: 'status',
  nodes: 'nodes_data',
  edges: 'edges_data',
  viewport: 'viewport_data',
  tags: 'tags',
  metadata: 'metadata',
} as const;

export const diagramDefaults = {
  description: null,
  version: '1.0.0',
  status: 'draft',
  nodes_data: [],
  edges_data: [],
  viewport_data: { x: 0, y: 0, zoom: 1 },
  tags: [],
  metadata: {},
} as const;

/** The fields given, by their columns. */
export const columnsOf = (
  { columns }: { readonly columns: Readonly<Record<string, string>> },
  fields: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => {
      const column = columns[name];
      return column === undefined || value === undefined ? [] : [[column, value]];
    }),
  );

/** What all entities show of themselves. */
export const commonOf = (row: EntityRow) => ({
  workspaceId: row.workspace_id,
  version: row.version,
  nodes: row.nodes_data,
  tags: row.tags,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
