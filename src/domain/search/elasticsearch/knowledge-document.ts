import { sourceDocument } from '../indexes/index-document.ts';
import type { SourceDocument } from '../indexes/index-source.ts';
import type { StoredDocument } from './read-documents.ts';
import { partsOf, signsOf, textKey } from './text-keys.ts';

/** A vector of Postgres as JSON; cosine knows no direction of all zeroes, which is left out. */
const vectorJson = (vector: string): string | undefined =>
  /[1-9]/.test(vector) ? `[${vector.slice(1, -1)}]` : undefined;

/** Pieces of a text with their vectors as JSON: vectors are passed on as they are, without reading their numbers. */
export const chunksJson = (chunks: StoredDocument['chunks']): string =>
  `[${chunks
    .flatMap(({ opening, vector }) => {
      const json = vectorJson(vector);
      return json === undefined ? [] : [`{"opening":${JSON.stringify(opening)},"vector":${json}}`];
    })
    .join()}]`;

/** What the index shows of a document. */
export const knowledgeDocument = (document: StoredDocument): SourceDocument => {
  const { id, workspace_id, title, excerpt, content, tags, chunks, created_at, updated_at, ...rest } = document;
  const body = {
    id,
    workspace_id,
    ...rest,
    title,
    title_key: textKey(title),
    title_signs: signsOf(title),
    excerpt,
    content,
    parts: partsOf([title, excerpt, content, ...tags].join('\n')),
    tags,
    created_at: created_at.toISOString(),
    updated_at: updated_at.toISOString(),
  };
  const json = `${JSON.stringify(body).slice(0, -1)},"chunks":${chunksJson(chunks)}}`;
  return sourceDocument({ workspaceId: workspace_id, id }, json);
};
