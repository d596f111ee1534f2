import { AppError } from '../../lib/errors/app-error.ts';
import type { CopyingQueryable } from '../../lib/postgres/copy-in.ts';
import { copyRow } from '../../lib/postgres/copy-row.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { UpsertKnowledgeInput } from './input.ts';
import type { UpsertCounts } from './types.ts';

/** A document whose author is known by id. */
export interface MergedDocument extends UpsertKnowledgeInput {
  readonly authorId: string | undefined;
}

/** So few documents are given as a parameter: making a table for them would take longer, and leave traces in the catalogs. */
const fewDocuments = 200;
const fewCharacters = 1_048_576;
const maxRounds = 5;

const columns = [
  'source_id text',
  'title text',
  'content text',
  'content_type text',
  'excerpt text',
  'status text',
  'author_id uuid',
  'collection_id uuid',
  'metadata jsonb',
  'tags text[]',
].join(', ');
const fromJson = (parameter: '$1' | '$2'): string => `json_to_recordset(${parameter}::json) AS d (${columns})`;
const staging = 'pg_temp.treadle_documents';

const toJson = (documents: readonly MergedDocument[]): string =>
  JSON.stringify(
    documents.map((document) => ({
      source_id: document.sourceId,
      title: document.title,
      content: document.content,
      content_type: document.contentType,
      excerpt: document.excerpt,
      status: document.status,
      author_id: document.authorId,
      collection_id: document.collectionId,
      metadata: document.metadata,
      tags: document.tags,
    })),
  );

function* copyRows(documents: readonly MergedDocument[]): Generator<string> {
  for (const document of documents) {
    yield copyRow([
      document.sourceId,
      document.title,
      document.content,
      document.contentType,
      document.excerpt,
      document.status,
      document.authorId,
      document.collectionId,
      JSON.stringify(document.metadata),
      document.tags,
    ]);
  }
}

/** Documents in parts that are few each; a large document is a part of its own. */
function* partsOf(documents: readonly MergedDocument[]): Generator<readonly MergedDocument[]> {
  let part: MergedDocument[] = [];
  let characters = 0;
  for (const document of documents) {
    const full = part.length >= fewDocuments || characters + document.content.length > fewCharacters;
    if (full && part.length > 0) {
      yield part;
      part = [];
      characters = 0;
    }
    part.push(document);
    characters += document.content.length;
  }
  if (part.length > 0) yield part;
}

const areFew = (documents: readonly MergedDocument[]): boolean =>
  documents.length <= fewDocuments && documents.reduce((sum, { content }) => sum + content.length, 0) <= fewCharacters;

/**
 * Puts the documents into a table of the transaction's own, which is written to no log and is gone with the transaction: by
 * COPY, or by statements on a connection that is not node-postgres'.
 */
const stage = async (tx: Queryable | CopyingQueryable, documents: readonly MergedDocument[]): Promise<void> => {
  await tx.query(`CREATE TEMPORARY TABLE treadle_documents (${columns}) ON COMMIT DROP`);
  if ('copyIn' in tx) {
    await tx.copyIn(`COPY ${staging} FROM STDIN`, copyRows(documents));
    return;
  }
  for (const part of partsOf(documents)) {
    await tx.query(`INSERT INTO ${staging} SELECT d.* FROM ${fromJson('$1')}`, [toJson(part)]);
  }
};

const merge = async (tx: Queryable, given: string, values: unknown[], size: number): Promise<UpsertCounts> => {
  const statement = loadSql(new URL('./merge-documents.sql', import.meta.url)).replace(':given\n', () => `${given}\n`);
  let written = { inserted: 0, updated: 0 };
  // Another writer of the same documents may get in between: the next round sees what it wrote.
  for (let round = 0; round < maxRounds; round += 1) {
    const { rows } = await tx.query<{ inserted: number; updated: number; unchanged: number }>(statement, values);
    const { inserted = 0, updated = 0, unchanged = 0 } = rows[0] ?? {};
    written = { inserted: written.inserted + inserted, updated: written.updated + updated };
    if (inserted + updated + unchanged === size) {
      return { ...written, unchanged: size - written.inserted - written.updated };
    }
  }
  throw new AppError(
    'DATA_CONSISTENCY_ERROR',
    'the documents are being changed by somebody else',
    {},
    { retryable: true },
  );
};

/** Writes documents by their source ids, each of which is given once, in the transaction. Authors and tags exist. */
export const mergeDocuments = async (
  tx: Queryable | CopyingQueryable,
  workspaceId: string,
  documents: readonly MergedDocument[],
): Promise<UpsertCounts> => {
  if (areFew(documents)) return merge(tx, fromJson('$2'), [workspaceId, toJson(documents)], documents.length);
  await stage(tx, documents);
  const counts = await merge(tx, `${staging} AS d`, [workspaceId], documents.length);
  // The caller's transaction may go on, and bring more documents.
  await tx.query(`DROP TABLE ${staging}`);
  return counts;
};
