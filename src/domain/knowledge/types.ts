export const knowledgeStatuses = ['draft', 'published', 'archived'] as const;
export type KnowledgeStatus = (typeof knowledgeStatuses)[number];

/** Who wrote a document, or in which collection it lies: never more of that row than this. */
export interface NamedReference {
  readonly id: string;
  readonly name: string;
}

/** A document of a workspace, with its author, collection and tags joined. */
export interface Knowledge {
  readonly id: string;
  readonly workspaceId: string;
  readonly title: string;
  readonly content: string;
  /** What an editor keeps beside the text (operations, a rich-text tree); null when there is none. */
  readonly contentDelta: unknown;
  /** A media type such as `text/markdown`. */
  readonly contentType: string;
  /** Empty when there is none. */
  readonly excerpt: string;
  readonly status: KnowledgeStatus;
  readonly author: NamedReference | null;
  readonly collection: NamedReference | null;
  /** Names, in alphabetical order. */
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  /** The id the document has where it was imported from, unique in the workspace. */
  readonly sourceId: string | null;
  /** 1 at first; grows by one with every change. */
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A document as one of its versions left it. */
export interface KnowledgeVersion {
  readonly knowledgeId: string;
  readonly versionNumber: number;
  readonly title: string;
  readonly content: string;
  readonly contentDelta: unknown;
  readonly excerpt: string;
  readonly author: NamedReference | null;
  /** Who made the change; null when the writer did not say. */
  readonly actor: string | null;
  readonly changeSummary: string | null;
  /** The columns that differ from the version before; empty for the first one, and when only tags changed. */
  readonly changed: readonly string[];
  readonly createdAt: Date;
}

export interface Tag {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  /** How many documents carry it. */
  readonly documents: number;
  /** 1 at first; grows by one with every change of the tag, not of its documents. */
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface PopularTag {
  readonly id: string;
  readonly name: string;
  /** How many documents carry it. */
  readonly documents: number;
}

export interface Collection {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  readonly description: string;
  /** How many documents lie in it. */
  readonly documents: number;
  /** 1 at first; grows by one with every change of the collection, not of its documents. */
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface UpsertCounts {
  readonly inserted: number;
  readonly updated: number;
  readonly unchanged: number;
}
