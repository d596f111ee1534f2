import { createHash } from 'node:crypto';
import { partsOf, signsOf, textKey } from './text-keys.ts';
import type { StoredDocument } from './read-documents.ts';

/** Orders what is written under one id: digits of a number below 2^63, as text since numbers round above 2^53. */
export type IndexVersion = string;

/** A document's id in the index holds its workspace: what is written for one never touches another's. */
export const indexId = (workspaceId: string, id: string): string => `${workspaceId}:${id}`;

/** A vector of Postgres as JSON; cosine knows no direction of all zeroes, which is left out. */
const vectorJson = (vector: string): string | undefined =>
  /[1-9]/.test(vector) ? `[${vector.slice(1, -1)}]` : undefined;

const chunksJson = (chunks: StoredDocument['chunks']): string =>
  chunks
    .flatMap(({ opening, vector }) => {
      const json = vectorJson(vector);
      return json === undefined ? [] : [`{"opening":${JSON.stringify(opening)},"vector":${json}}`];
    })
    .join();

/** What is written of a document, as JSON: vectors are passed on as they are, without reading their numbers. */
export const indexDocument = (document: StoredDocument, version: IndexVersion): string => {
  const { title, excerpt, content, tags, chunks, created_at: createdAt, updated_at: updatedAt, ...rest } = document;
  const body = {
    ...rest,
    title,
    title_key: textKey(title),
    title_signs: signsOf(title),
    excerpt,
    content,
    parts: partsOf([title, excerpt, content, ...tags].join('\n')),
    tags,
    created_at: createdAt.toISOString(),
    updated_at: updatedAt.toISOString(),
  };
  const { version: _ofPostgres, ...hashed } = body;
  const chunkList = `[${chunksJson(chunks)}]`;
  const hash = createHash('sha256').update(JSON.stringify(hashed)).update(chunkList).digest('base64url');
  return `${JSON.stringify({ ...body, version, content_hash: hash }).slice(0, -1)},"chunks":${chunkList}}`;
};

/** What stays of a deleted document, so that a late write of it is still refused: Elasticsearch soon forgets a deleted version. */
export const tombstone = (workspaceId: string, id: string, version: IndexVersion): string =>
  JSON.stringify({ id, workspace_id: workspaceId, version, deleted_at: new Date().toISOString() });
