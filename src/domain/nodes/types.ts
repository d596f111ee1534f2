export const featureTypes = ['function-model', 'knowledge-base', 'event-storm', 'spindle'] as const;
export type FeatureType = (typeof featureTypes)[number];

export interface Position {
  readonly x: number;
  readonly y: number;
}

export interface Viewport extends Position {
  readonly zoom: number;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** A part of an entity: a step of a function model, a note of an event storm. */
export interface NodeElement {
  /** Unique in its entity. */
  readonly id: string;
  readonly type: string;
  readonly name: string;
  readonly position: Position;
  readonly data: JsonObject;
  readonly metadata: JsonObject;
}

/** A line between two elements of one entity. */
export interface NodeEdge extends JsonObject {
  readonly id: string;
}

/** An entity of any feature, or one of its elements, in the shape that all share. */
export interface BaseNode {
  readonly featureType: FeatureType;
  readonly entityId: string;
  /** Absent for the entity itself. */
  readonly nodeId?: string;
  readonly type: string;
  readonly name: string;
  readonly position: Position;
  /** What only this feature has, under the names of its own type ({@link FunctionModel} and so on). */
  readonly data: JsonObject;
  readonly metadata: JsonObject;
  /** Of the entity, elements included: grows by one with every change. */
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What the entities of all features have. */
interface Entity {
  readonly workspaceId: string;
  /** The author's own numbering; `revision` is Treadle's. */
  readonly version: string;
  readonly nodes: readonly NodeElement[];
  readonly tags: readonly string[];
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface FunctionModel extends Entity {
  readonly modelId: string;
  readonly name: string;
  readonly description: string | null;
  readonly status: 'draft' | 'active' | 'archived';
  readonly edges: readonly NodeEdge[];
  readonly viewport: Viewport;
  readonly processType: string | null;
  readonly complexityLevel: string | null;
  /** Minutes. */
  readonly estimatedDuration: number | null;
  readonly metadata: JsonObject;
  readonly permissions: JsonObject;
  readonly lastSavedAt: Date;
}

/** A standard operating procedure. */
export interface Sop extends Entity {
  readonly sopId: string;
  readonly title: string;
  readonly content: string;
  readonly summary: string | null;
  readonly category: string | null;
  readonly status: 'draft' | 'published' | 'archived';
  readonly position: Position;
  readonly metadata: JsonObject;
  readonly author: string | null;
  /** Minutes. */
  readonly readTime: number | null;
  readonly searchKeywords: readonly string[];
  readonly lastViewedAt: Date | null;
}

export interface Aggregate extends JsonObject {
  readonly id: string;
}

export interface EventStorm extends Entity {
  readonly stormId: string;
  readonly name: string;
  readonly description: string | null;
  readonly status: 'draft' | 'active' | 'archived';
  readonly edges: readonly NodeEdge[];
  readonly viewport: Viewport;
  readonly domainContext: string | null;
  readonly timeHorizon: string | null;
  readonly aggregates: readonly Aggregate[];
  readonly metadata: JsonObject;
}

/** An integration flow. */
export interface Spindle extends Entity {
  readonly spindleId: string;
  readonly name: string;
  readonly description: string | null;
  readonly status: 'draft' | 'active' | 'inactive' | 'error' | 'archived';
  readonly edges: readonly NodeEdge[];
  readonly viewport: Viewport;
  readonly spindleType: string | null;
  readonly complexityLevel: string | null;
  readonly metadata: JsonObject;
}

/** A node as links and agents name it; without `nodeId` the entity itself. */
export interface NodeReference {
  readonly featureType: FeatureType;
  readonly entityId: string;
  readonly nodeId?: string | undefined;
}

export interface NodeLink {
  readonly linkId: string;
  readonly workspaceId: string;
  readonly source: NodeReference;
  readonly target: NodeReference;
  readonly linkType: string;
  /** 0 to 1. */
  readonly linkStrength: number;
  readonly linkContext: JsonObject;
  /** What is to look otherwise than the type says. */
  readonly visualProperties: JsonObject;
  /** The link's own colour, or that of its type. */
  readonly color: string | null;
  readonly isBidirectional: boolean;
  readonly createdBy: string | null;
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface LinkType {
  readonly typeId: string;
  readonly typeName: string;
  readonly description: string | null;
  readonly color: string | null;
  readonly icon: string | null;
  readonly isBidirectional: boolean;
}

/** A node in lists: what is common, without the entity's own data. */
export interface NodeSummary {
  readonly featureType: FeatureType;
  readonly entityId: string;
  readonly nodeId?: string;
  readonly type: string;
  readonly name: string;
  readonly status: string | null;
  readonly position: Position;
  readonly tags: readonly string[];
  readonly revision: number | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface ConnectedNode extends NodeSummary {
  /** How many links away, at least. */
  readonly depth: number;
}

export interface AIAgentConfig {
  readonly name: string;
  readonly instructions: string | null;
  readonly tools: readonly unknown[];
  readonly capabilities: JsonObject;
  readonly metadata: JsonObject;
  readonly isEnabled: boolean;
}

export interface NodeEvent {
  readonly eventId: string;
  readonly eventType: string;
  readonly revision: number;
  /** The columns that the change set. */
  readonly data: JsonObject;
  readonly actor: string | null;
  readonly changeSummary: string | null;
  readonly timestamp: Date;
}

export interface Execution {
  readonly executionId: string;
  readonly status: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';
  readonly context: unknown;
  readonly result: unknown;
  readonly error: unknown;
  readonly jobId: string | null;
  readonly actor: string | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}
