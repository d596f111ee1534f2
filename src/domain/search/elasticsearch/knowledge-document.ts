import { sourceDocument } from '../indexes/index-document.ts';
import type { SourceDocument } from '../indexes/index-source.ts';
import type { StoredDocument } from './read-documents.ts';
import { partsOf, signsOf, textKey } from './text-keys.ts';
import { chunksJson } from './vector-json.ts';

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
