import type { Queryable } from '../../lib/postgres/queryable.ts';

/** What the embeddings need of Postgres. */
export interface EmbeddingDatabase extends Queryable {
  transaction<T>(fn: (tx: Queryable) => Promise<T>, options?: { readonly name?: string }): Promise<T>;
}

/** Something of a workspace that has embeddings; `knowledge` documents are one type of it. */
export interface EntityKey {
  readonly workspaceId: string;
  readonly entityType: string;
  readonly entityId: string;
}

/** What of a document its embeddings depend on. */
export interface EmbeddableDocument {
  readonly id: string;
  readonly workspaceId: string;
  readonly title: string;
  readonly excerpt: string;
  readonly content: string;
  readonly version: number;
}

/** Where a chunk belongs, without its vector. */
export interface ChunkPlace {
  readonly index: number;
  readonly start: number;
  readonly end: number;
  readonly hash: Buffer;
}

/** A vector ready to be stored: of length 1, with its sign bits. */
export interface StorableVector {
  readonly hash: Buffer;
  readonly vector: Float32Array;
  readonly bits: string;
}

export interface NearestChunk {
  readonly entityId: string;
  readonly chunkIndex: number;
  /** In characters of the content; the end is exclusive. */
  readonly chunkStart: number;
  readonly chunkEnd: number;
  /** Cosine, -1 to 1. */
  readonly score: number;
}

export interface NearestQuery {
  readonly workspaceId: string;
  readonly entityType: string;
  readonly model: string;
  readonly vector: Float32Array;
  readonly limit: number;
  /** Only chunks of these entities; all of the workspace without it. */
  readonly among?: readonly string[] | undefined;
}

export interface RefreshResult {
  /** How many chunks the document has. */
  readonly chunks: number;
  /** Chunks whose vectors were asked of the embedder. */
  readonly embedded: number;
  /** Chunks whose vectors were there already. */
  readonly reused: number;
}
