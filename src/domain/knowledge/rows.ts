import { sql } from 'kysely';
import type { Collection, Knowledge, KnowledgeStatus, KnowledgeVersion, NamedReference, Tag } from './types.ts';

export interface KnowledgeRow {
  readonly id: string;
  readonly workspace_id: string;
  readonly title: string;
  readonly content: string;
  readonly content_delta: unknown;
  readonly content_type: string;
  readonly excerpt: string;
  readonly status: KnowledgeStatus;
  readonly author_id: string | null;
  readonly author_name: string | null;
  readonly collection_id: string | null;
  readonly collection_name: string | null;
  readonly tags: string[];
  readonly metadata: Record<string, unknown>;
  readonly source_id: string | null;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  /** `updated_at` with its microseconds, which a Date would lose. */
  readonly updated_key: string;
}

/**
 * SELECT list and joins that answer a {@link KnowledgeRow} for each row of `k`, a document. They join by primary key alone:
 * the foreign keys see to it that tags and collection are of the same workspace.
 */
export const knowledgeColumns = sql`k.id, k.workspace_id, k.title, k.content, k.content_delta, k.content_type, k.excerpt, k.status,
  u.id AS author_id, u.name AS author_name, c.id AS collection_id, c.name AS collection_name,
  ARRAY(SELECT t.name FROM treadle.knowledge_tags AS kt
    JOIN treadle.tags AS t ON t.id = kt.tag_id
    WHERE kt.workspace_id = k.workspace_id AND kt.knowledge_id = k.id ORDER BY t.name) AS tags,
  k.metadata, k.source_id, k.version, k.created_at, k.updated_at,
  to_char(k.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_key`;
export const knowledgeJoins = sql`LEFT JOIN treadle.users AS u ON u.id = k.author_id
  LEFT JOIN treadle.collections AS c ON c.id = k.collection_id`;

const reference = (id: string | null, name: string | null): NamedReference | null =>
  id === null || name === null ? null : { id, name };

export const toKnowledge = (row: KnowledgeRow): Knowledge => ({
  id: row.id,
  workspaceId: row.workspace_id,
  title: row.title,
  content: row.content,
  contentDelta: row.content_delta,
  contentType: row.content_type,
  excerpt: row.excerpt,
  status: row.status,
  author: reference(row.author_id, row.author_name),
  collection: reference(row.collection_id, row.collection_name),
  tags: row.tags,
  metadata: row.metadata,
  sourceId: row.source_id,
  version: row.version,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

export interface VersionRow {
  readonly knowledge_id: string;
  readonly version_number: number;
  readonly title: string;
  readonly content: string;
  readonly content_delta: unknown;
  readonly excerpt: string;
  readonly author_id: string | null;
  readonly author_name: string | null;
  readonly actor: string | null;
  readonly change_summary: string | null;
  readonly changed: string[];
  readonly created_at: Date;
}

export const toVersion = (row: VersionRow): KnowledgeVersion => ({
  knowledgeId: row.knowledge_id,
  versionNumber: row.version_number,
  title: row.title,
  content: row.content,
  contentDelta: row.content_delta,
  excerpt: row.excerpt,
  author: reference(row.author_id, row.author_name),
  actor: row.actor,
  changeSummary: row.change_summary,
  changed: row.changed,
  createdAt: row.created_at,
});

export interface TagRow {
  readonly id: string;
  readonly workspace_id: string;
  readonly name: string;
  readonly documents: number;
  readonly revision: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export const toTag = (row: TagRow): Tag => ({
  id: row.id,
  workspaceId: row.workspace_id,
  name: row.name,
  documents: row.documents,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

export interface CollectionRow extends TagRow {
  readonly description: string;
}

export const toCollection = (row: CollectionRow): Collection => ({
  id: row.id,
  workspaceId: row.workspace_id,
  name: row.name,
  description: row.description,
  documents: row.documents,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
